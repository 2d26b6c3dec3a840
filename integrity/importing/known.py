"""The declared imports, found as ``app.name``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module

from django.apps import apps
from django.core.checks import CheckMessage
from django.utils.module_loading import module_has_submodule

from integrity.exceptions import UnknownName, WrongDeclaration
from integrity.importing.declarations import Import


class Imports:
    """Imports by label. ``discover()`` fills it from ``imports`` in the ``feeds.py`` of every installed app."""

    def __init__(self) -> None:
        self._known: dict[str, Import] = {}

    def discover(self) -> None:
        """Import each app's ``feeds.py``; an error in one is not swallowed."""
        for config in apps.get_app_configs():
            if module_has_submodule(config.module, "feeds"):
                self.register(config.label, getattr(import_module(f"{config.name}.feeds"), "imports", ()))

    def register(self, app: str, found: Iterable[Import]) -> None:
        """Add an app's imports. Raises WrongDeclaration for a name that the app has twice."""
        for wanted in found:
            wanted.named(app)
            if self._known.get(wanted.label, wanted) is not wanted:
                raise WrongDeclaration(f"Two imports are named {wanted.label!r}: names are stored and must differ.")
            self._known[wanted.label] = wanted

    def unregister(self, *labels: str) -> None:
        for label in labels:
            self._known.pop(label, None)

    def __iter__(self) -> Iterator[Import]:
        return iter(list(self._known.values()))

    def get(self, label: str) -> Import:
        """An import by ``app.name``. Raises UnknownName listing the known ones."""
        try:
            return self._known[label]
        except KeyError:
            raise UnknownName("import", label, list(self._known)) from None


imports = Imports()


def check_imports(app_configs: object = None, **_: object) -> list[CheckMessage]:
    """Every import's own checks."""
    return [message for wanted in imports for message in wanted.check()]
