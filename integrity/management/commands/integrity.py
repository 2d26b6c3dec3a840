"""manage.py integrity VERB: the engine on the command line."""

from __future__ import annotations

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from datetime import datetime, time
from typing import Any

from django.core.management.base import CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from integrity.exceptions import EngineError, UnknownName, UsageError
from integrity.keys import Key
from integrity.management.base import (
    EngineCommand,
    add_brake,
    add_django_options,
    add_format,
    add_writing,
    explain,
    positive,
)
from integrity.registry import registry
from integrity.reports import Report
from integrity.rules.base import Rule
from integrity.scope import Scope

EXAMPLES = {
    "rules": "manage.py integrity rules players",
    "analyze": "manage.py integrity analyze players.mileage_adds_up --key 17 --format json",
    "repair": "manage.py integrity repair players.mileage_adds_up --strategy recalculate_from_player --dry-run",
    "verify": "manage.py integrity verify 12",
    "undo": "manage.py integrity undo 12 --dry-run",
    "quarantine": "manage.py integrity quarantine players --format json",
    "enforce": "manage.py integrity enforce vehicles.current_mileage",
    "runs": "manage.py integrity runs --verb repair --limit 5",
    "accept": 'manage.py integrity accept players.mileage_adds_up --key 17 --reason "device lost" --until 2030-01-31',
}


class Command(EngineCommand):
    """A door for each verb."""

    help = "Find what breaks the declared rules, repair it, verify the repair, take it back."
    epilog = "Exit codes: 0 clean, 1 violations or planned changes, 2 usage error, 3 not checked or not finished."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

        def verb(name: str, text: str) -> Any:
            parser = verbs.add_parser(
                name,
                help=text,
                description=text,
                epilog=f"Example: {EXAMPLES[name]}",
                formatter_class=RawDescriptionHelpFormatter,
            )
            add_django_options(parser)
            self.refuse_in_json(parser)
            return parser

        self._looking(verb)
        self._writing(verb)

    def _looking(self, verb: Any) -> None:
        rules = verb("rules", "List the declared rules.")
        _add_rules(rules)
        _add_tag(rules)
        add_format(rules)
        analyze = verb("analyze", "Look for violations; writes nothing but records.")
        _add_rules(analyze)
        _add_tag(analyze)
        _add_key(analyze)
        analyze.add_argument("--database", default=DEFAULT_DB_ALIAS, metavar="DB", help="Which database to look at.")
        analyze.add_argument("--sql", action="store_true", help="Print the statement of each rule as well.")
        add_format(analyze)
        verify = verb("verify", "Look again at every rule that a run's changes concern.")
        verify.add_argument("run", type=positive, metavar="RUN")
        add_format(verify)
        quarantine = verb("quarantine", "List the rows that repairs have moved into quarantine, the oldest first.")
        _add_rules(quarantine)
        add_format(quarantine)
        runs = verb("runs", "List runs, the latest first.")
        runs.add_argument(
            "--verb", dest="of_verb", choices=["analyze", "repair", "verify", "undo", "enforce"], help="Only these."
        )
        add_format(runs)

    def _writing(self, verb: Any) -> None:
        repair = verb("repair", "Carry out a repair of some rules, as one run that can be undone.")
        repair.add_argument("rules", nargs="+", metavar="RULE", help="app.name")
        repair.add_argument("--strategy", metavar="NAME", help="Which repair; needed where a rule has several.")
        _add_key(repair)
        add_brake(repair)
        add_writing(repair)
        add_format(repair)
        undo = verb("undo", "Take back what a run changed, where nobody has changed it since.")
        undo.add_argument("run", type=positive, metavar="RUN")
        undo.add_argument("--rule", metavar="RULE", help="Only what was written for this rule (app.name).")
        _add_key(undo)
        add_writing(undo)
        add_format(undo)
        enforce = verb(
            "enforce", "Let the database keep rules true: guard, and prove it once they hold; or take it away."
        )
        enforce.add_argument("rules", nargs="+", metavar="RULE|APP", help="app.name or app")
        enforce.add_argument("--remove", action="store_true", help="Take triggers and constraints away.")
        add_writing(enforce)
        add_format(enforce)
        accept = verb("accept", "Accept a violation as an exception: neither counted nor repaired until it expires.")
        accept.add_argument("rules", nargs=1, metavar="RULE", help="app.name")
        accept.add_argument("--key", required=True, metavar="K", help="Which violation.")
        accept.add_argument("--reason", default="", metavar="TEXT", help="Why; required unless --revoke.")
        accept.add_argument("--until", type=_moment, metavar="DATE", help="When it expires (default: never).")
        accept.add_argument("--format", choices=["table", "json"], default="table", help="How to print it.")
        accept.add_argument("--revoke", action="store_true", help="Take the acceptance back.")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    # Looking

    def _rules(self, options: dict[str, Any]) -> None:
        rules = registry.select(options["rules"], options["tag"])
        states, error = _states(rules)
        if options["format"] == "table":
            from integrity.rendering.terminal import print_rules

            print_rules(self.console(options), rules, states)
        else:
            from integrity.rendering.listing import rules_as_csv, rules_as_json

            as_json = options["format"] == "json"
            self.stdout.write(rules_as_json(rules, states, error) if as_json else rules_as_csv(rules, states))
        if error:
            self.stderr.write(error)
            raise SystemExit(EngineError.exit_code)

    def _analyze(self, options: dict[str, Any]) -> None:
        from integrity.engine import analyze

        rules = registry.select(options["rules"], options["tag"])
        keys = _keys(rules, options["key"])
        using = _database(options["database"])
        report = self.perform(
            lambda watch: analyze(rules, keys=keys, using=using, sample=options["limit"], observer=watch), options
        )
        if options["sql"]:
            for rule, result in zip(rules, report.rules, strict=True):
                result.sql = rule.violations(Scope.of(keys), using).inline(connections[using])
        self.finish(report, options)

    def _verify(self, options: dict[str, Any]) -> None:
        from integrity.engine import verify

        self.finish(
            self.perform(lambda watch: verify(options["run"], sample=options["limit"], observer=watch), options),
            options,
        )

    def _runs(self, options: dict[str, Any]) -> None:
        from integrity.models import Run
        from integrity.rendering.listing import print_runs, runs_as_csv, runs_as_json

        runs = Run.objects.prefetch_related("results")
        if options["of_verb"]:
            runs = runs.filter(verb=options["of_verb"])
        latest = list(runs[: options["limit"]])
        if options["format"] == "table":
            print_runs(self.console(options), latest)
        else:
            self.stdout.write(runs_as_json(latest) if options["format"] == "json" else runs_as_csv(latest))

    def _quarantine(self, options: dict[str, Any]) -> None:
        from integrity.quarantine import quarantined
        from integrity.rendering.quarantine import print_quarantine, quarantine_as_csv, quarantine_as_json

        # Rows of a rule that is declared no more are listed as well, unless rules are named.
        rows = quarantined(registry.select(options["rules"]) if options["rules"] else None)
        total, first = rows.count(), list(rows[: options["limit"]])
        if options["format"] == "table":
            print_quarantine(self.console(options), first, total)
        elif options["format"] == "json":
            self.stdout.write(quarantine_as_json(first, total))
        else:
            self.stdout.write(quarantine_as_csv(first))

    # Writing

    def _repair(self, options: dict[str, Any]) -> None:
        from integrity.repair import repair

        rules = [registry.get(label) for label in dict.fromkeys(options["rules"])]
        keys = _keys(rules, options["key"])
        work = [(rule, _strategy(rule, options["strategy"], alone=len(rules) == 1)) for rule in rules]
        self.require_yes_to_open_brake(options)
        if any(step.whole for rule, strategy in work for step in rule.strategy(strategy)[1]):
            self.require_yes("A whole table is rebuilt", options)

        def run(*, dry_run: bool) -> Report:
            return self.perform(
                lambda watch: repair(
                    work,
                    keys=keys,
                    dry_run=dry_run,
                    max_affected=options["max_affected"],
                    reason=options["reason"],
                    sample=options["limit"],
                    observer=watch,
                ),
                options,
            )

        if options["dry_run"] or self.consent(lambda: run(dry_run=True), options):
            self.finish(run(dry_run=options["dry_run"]), options)

    def _undo(self, options: dict[str, Any]) -> None:
        from integrity.undo import undo

        rule = _rule_to_undo(options["run"], options["rule"], needed=bool(options["key"]))
        keys = None if rule is None or options["key"] is None else [rule.parse_key(text) for text in options["key"]]

        def run(*, dry_run: bool) -> Report:
            return self.perform(
                lambda watch: undo(
                    options["run"],
                    rule=rule,
                    keys=keys,
                    dry_run=dry_run,
                    reason=options["reason"],
                    sample=options["limit"],
                    observer=watch,
                ),
                options,
            )

        if options["dry_run"] or self.consent(lambda: run(dry_run=True), options):
            self.finish(run(dry_run=options["dry_run"]), options)

    def _enforce(self, options: dict[str, Any]) -> None:
        from integrity.enforce import enforce

        rules = registry.select(options["rules"])
        if any(name in options["rules"] for name in {rule.app for rule in rules}):
            # An app stands for those of its rules that are to be enforced.
            rules = [rule for rule in rules if rule.enforce or rule.label in options["rules"]]
        asked = options["yes"] or (self.is_interactive and self._asks_to_guard(rules))
        report = enforce(
            rules,
            remove=options["remove"],
            dry_run=options["dry_run"],
            accept_dirty=asked,
            reason=options["reason"],
            sample=options["limit"],
        )
        self.finish(report, options)

    def _asks_to_guard(self, rules: list[Rule]) -> bool:
        names = ", ".join(rule.label for rule in rules)
        answer = input(
            f"Guard {names} even where rows break them now (such rows cannot be updated until repaired)? [y/N] "
        )
        return answer.strip().lower() in ("y", "yes")

    def _accept(self, options: dict[str, Any]) -> None:
        from integrity.engine import accept, revoke
        from integrity.records import default_actor

        (rule,) = [registry.get(label) for label in options["rules"]]
        key = rule.parse_key(options["key"])
        if options["revoke"]:
            found = revoke(rule, key)
        else:
            found = accept(rule, key, by=default_actor(), because=options["reason"], until=options["until"])
        if options["format"] == "json":
            from integrity.rendering.listing import accepted_as_json

            self.stdout.write(accepted_as_json(rule, found))
            return
        if options["revoke"]:
            self.stdout.write(f"{rule.label} at {options['key']} counts again.")
            return
        until = f"until {found.accepted_until:%Y-%m-%d %H:%M %Z}" if found.accepted_until else "until it is revoked"
        self.stdout.write(f"{rule.label} at {options['key']} is accepted {until}.")


def _add_rules(parser: Any) -> None:
    parser.add_argument("rules", nargs="*", metavar="RULE|APP", help="app.name or app (default: all).")


def _add_tag(parser: Any) -> None:
    parser.add_argument("--tag", action="append", default=[], metavar="T", help="Only rules with this tag; repeatable.")


def _add_key(parser: Any) -> None:
    parser.add_argument(
        "--key", action="append", metavar="K", help="Only this key, such as 17 or order=3,line=2; repeatable."
    )


def _keys(rules: list[Rule], texts: list[str] | None) -> list[Key] | None:
    """Typed keys; they must mean the same for every rule that is looked at."""
    if texts is None:
        return None
    models = {rule.model._meta.label for rule in rules}
    if len(models) != 1:
        raise UsageError(
            f"--key belongs to one model, and these rules are about {', '.join(sorted(models))}. Name the rule."
        )
    return [rules[0].parse_key(text) for text in texts]


def _rule_to_undo(number: int, label: str | None, *, needed: bool) -> Rule | None:
    """The rule that an undo is limited to; the only one of the run where keys need one and none is named."""
    if label is not None:
        return registry.get(label)
    if not needed:
        return None
    from integrity.engine import get_run
    from integrity.models import Change

    labels = list(Change.objects.filter(run=get_run(number)).values_list("rule", flat=True).distinct().order_by("rule"))
    if len(labels) > 1:
        raise UsageError(f"Run {number} wrote for several rules; say whose key it is with --rule: {', '.join(labels)}.")
    return registry.get(labels[0]) if labels else None


def _strategy(rule: Rule, wanted: str | None, *, alone: bool) -> str:
    """The strategy by name. Among several rules one that has a single repair needs no name."""
    if wanted not in rule.repairs and not alone and len(rule.repairs) == 1:
        return next(iter(rule.repairs))
    if not rule.repairs:
        raise UsageError(
            f"{rule.label} declares no repair: it is for a person to decide."
            f" See: manage.py integrity analyze {rule.label}"
        )
    if wanted is None and len(rule.repairs) > 1:
        raise UsageError(f"{rule.label} has several repairs; choose one with --strategy: {', '.join(rule.repairs)}.")
    return rule.strategy(wanted)[0]


def _states(rules: list[Rule]) -> tuple[dict[str, str], str]:
    """What the database does for each rule; and why that is not known, where the database cannot be asked.

    It is not asked where nothing is declared to be enforced.
    """
    if not any(rule.enforce for rule in rules):
        return {rule.label: "" for rule in rules}, ""
    from integrity.enforcement.states import state

    try:
        return {rule.label: state(rule) for rule in rules}, ""
    except (DatabaseError, InterfaceError) as error:
        unknown = {rule.label: "unknown" if rule.enforce else "" for rule in rules}
        return unknown, f"What the database does for the rules is not known. {explain(error)[0]}"


def _database(alias: str) -> str:
    if alias not in connections.databases:
        raise UnknownName("database", alias, list(connections.databases))
    return alias


def _moment(text: str) -> datetime:
    """A date or a time, in the project's time zone, for argparse."""
    try:
        day = parse_date(text)
        moment = datetime.combine(day, time()) if day else parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise ArgumentTypeError(f"{text!r} is not a date such as 2030-01-31 or a time such as 2030-01-31T12:00")
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
