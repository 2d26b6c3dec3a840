"""Who may do what, read from the imports; the directions between the packages are import-linter's part (make lint)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
APPS = [path.parent.name for path in ROOT.glob("*/apps.py")]
# Everything here describes, shows or parses; transactions begin in the verbs.
WITHOUT_TRANSACTIONS = ("models", "rules", "repairs", "admin", "api", "management")


def modules():
    for app in APPS:
        for part in WITHOUT_TRANSACTIONS:
            yield from (ROOT / app).glob(f"{part}.py")
            yield from (ROOT / app / part).rglob("*.py")


def imported(source):
    """Every dotted name that a module imports: `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def begins_transactions(source):
    return any(name.startswith("django.db.transaction") for name in imported(source))


@pytest.mark.parametrize("path", sorted(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_transactions_begin_in_verbs_only(path):
    assert not begins_transactions(path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        "from django.db import models, transaction",
        "from django.db.transaction import atomic",
        "import django.db.transaction",
        "def verb():\n    from django.db import transaction",
    ],
)
def test_the_contract_sees_every_way_to_import(source):
    assert begins_transactions(source)


def test_the_engine_asks_for_what_its_api_needs_nowhere_else():
    wanting = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "integrity").rglob("*.py")
        if any(name.startswith(("ninja", "integrity.api.", "pydantic")) for name in imported(path.read_text()))
    }
    assert {path for path in wanting if not path.startswith("integrity/api/")} == set()
