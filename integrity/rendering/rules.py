"""The declared rules for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from integrity.reports import States
from integrity.rules.base import Rule


def print_rules(out: Console, rules: Sequence[Rule], states: Mapping[str, States], times: Mapping[str, str]) -> None:
    """The declared rules, with their reasons and repairs; by label what the database does for them, and when they are
    looked at.
    """
    for position, rule in enumerate(rules):
        facts = [f"{rule.kind} on {rule.model._meta.label}", rule.severity]
        facts += [f"tags {', '.join(rule.tags)}"] if rule.tags else []
        facts += [f"owner {rule.owner}"] if rule.owner else []
        repairs = ", ".join(rule.repairs) or "none: a person decides"
        if rule.enforce:
            state, _, why = states[rule.label]
            facts.append(f"enforcement: {state}{f' ({why})' if why else ''}")
        if rule.tracked:
            facts.append(f"changes: {states[rule.label].tracking}")
        if rule.automatic:
            repairs += f"; automatic: {rule.automatic}"
        out.print(Text(("\n" if position else "") + rule.label, style="bold"), soft_wrap=True)
        scheduled = [f"schedule: {times[rule.label]}"] if times.get(rule.label) else []
        for line in (rule.because, "; ".join(facts), f"repairs: {repairs}", *scheduled):
            out.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
