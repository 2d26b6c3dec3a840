"""The declared rules, in order of declaration, found as ``app.name``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module

from django.apps import apps
from django.db.models import Model
from django.utils.module_loading import module_has_submodule

from integrity.exceptions import UnknownName, WrongDeclaration
from integrity.rules.base import Rule


class Registry:
    """Rules by label. ``discover()`` fills it from the ``rules.py`` of every installed app."""

    def __init__(self) -> None:
        self._rules: dict[str, Rule] = {}

    def discover(self) -> None:
        """Import each app's ``rules.py``, as the admin finds its ``admin.py``; an error in one is not swallowed."""
        for config in apps.get_app_configs():
            # The engine's own package holds the kinds of rules, not rules.
            if config.name != "integrity" and module_has_submodule(config.module, "rules"):
                self.register(config.label, getattr(import_module(f"{config.name}.rules"), "rules", ()))

    def register(self, app: str, rules: Iterable[Rule]) -> None:
        """Add an app's rules. Raises WrongDeclaration for a name that the app has twice."""
        for rule in rules:
            rule.app = app
            if self._rules.get(rule.label, rule) is not rule:
                raise WrongDeclaration(f"Two rules are named {rule.label!r}: names are stored and must differ.")
            self._rules[rule.label] = rule

    def unregister(self, *labels: str) -> None:
        for label in labels:
            self._rules.pop(label, None)

    def __iter__(self) -> Iterator[Rule]:
        return iter(list(self._rules.values()))

    def get(self, label: str) -> Rule:
        """A rule by ``app.name``. Raises UnknownName listing the known ones."""
        try:
            return self._rules[label]
        except KeyError:
            raise UnknownName("rule", label, list(self._rules)) from None

    def select(self, wanted: Iterable[str] = (), tags: Iterable[str] = ()) -> list[Rule]:
        """Rules by label or app, narrowed by tag; all of them when nothing is named. Raises UnknownName."""
        wanted, tags = list(wanted), list(tags)
        known_apps = {rule.app for rule in self}
        for name in wanted:
            if name not in self._rules and name not in known_apps:
                raise UnknownName("rule or app", name, [*self._rules, *known_apps])
        known_tags = {tag for rule in self for tag in rule.tags}
        for tag in tags:
            if tag not in known_tags:
                raise UnknownName("tag", tag, list(known_tags))
        return [
            rule
            for rule in self
            if (not wanted or rule.label in wanted or rule.app in wanted) and (not tags or set(tags) & set(rule.tags))
        ]

    def reading(self, models: Iterable[type[Model]]) -> list[Rule]:
        """Rules that depend on rows of any of these models."""
        tables = {model._meta.db_table for model in models}
        return [rule for rule in self if tables & {model._meta.db_table for model in rule.reads()}]


registry = Registry()
