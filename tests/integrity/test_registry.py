"""The registry: rules by name, found in the apps."""

import sys
from types import ModuleType

import pytest
from django.apps import AppConfig, apps
from django.db.models import Count, Q

from integrity import Always, Derived
from integrity.exceptions import UnknownName, WrongDeclaration
from integrity.registry import Registry
from tests.toy import models as toy


def rule(name, **options):
    return Always(toy.Account, Q(balance__gte=0), name=name, because="The toy says so.", **options)


def registry_of(*rules, app="toy"):
    found = Registry()
    found.register(app, rules)
    return found


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Makes an app of one file, ``rules.py``, the only one that is installed."""

    def install(name, source):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        if source is not None:
            (tmp_path / name / "rules.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(apps, "get_app_configs", lambda: [AppConfig.create(name)])
        return Registry()

    yield install
    for module in [known for known in sys.modules if known.startswith("app_of_")]:
        del sys.modules[module]


def test_rules_are_found_by_app_and_name():
    one = rule("one")
    assert registry_of(one).get("toy.one") is one


def test_rules_keep_the_order_of_their_declaration():
    names = ["zebra", "ant", "mouse"]
    assert [rule.name for rule in registry_of(*map(rule, names))] == names


def test_an_unknown_rule_lists_the_known_ones():
    with pytest.raises(UnknownName, match=r"^Unknown rule 'toy\.three'\. Known: toy\.one, toy\.two\.$"):
        registry_of(rule("one"), rule("two")).get("toy.three")


def test_an_unknown_rule_where_none_is_known_says_so():
    with pytest.raises(UnknownName, match=r"^Unknown rule 'a'\. Known: none\.$"):
        Registry().get("a")


def test_an_app_selects_its_rules():
    registry = registry_of(rule("one"))
    registry.register("other", [rule("two")])
    assert [rule.label for rule in registry.select(["other"])] == ["other.two"]


def test_nothing_selects_everything():
    assert len(registry_of(rule("one"), rule("two")).select()) == 2


def test_tags_narrow_a_selection():
    registry = registry_of(rule("one", tags=["money"]), rule("two"))
    assert [rule.name for rule in registry.select(["toy"], ["money"])] == ["one"]


def test_an_unknown_tag_lists_the_known_ones():
    with pytest.raises(UnknownName, match=r"Unknown tag 'cash'\. Known: money\."):
        registry_of(rule("one", tags=["money"])).select(tags=["cash"])


def test_an_unknown_rule_or_app_in_a_selection_lists_both():
    with pytest.raises(UnknownName, match=r"Unknown rule or app 'toys'\. Known: toy, toy\.one\."):
        registry_of(rule("one")).select(["toys"])


def test_two_rules_of_a_name_are_refused():
    with pytest.raises(WrongDeclaration, match=r"Two rules are named 'toy\.one'"):
        registry_of(rule("one"), rule("one"))


def test_the_same_name_in_two_apps_is_allowed():
    registry = registry_of(rule("one"))
    registry.register("other", [rule("one")])
    assert [rule.label for rule in registry] == ["toy.one", "other.one"]


def test_rules_that_read_a_table_are_found_by_it():
    total = Derived(toy.Account, "entry_count", equals=Count("entries"), name="total", because="The toy says so.")
    registry = registry_of(rule("one"), total)
    assert [rule.name for rule in registry.reading([toy.Entry])] == ["total"]
    assert [rule.name for rule in registry.reading([toy.Account])] == ["one", "total"]


def test_an_app_with_rules_is_found(installed):
    registry = installed("app_of_rules", "rules = []\nfound = True\n")
    registry.discover()
    assert sys.modules["app_of_rules.rules"].found


def test_an_app_without_rules_is_skipped(installed):
    registry = installed("app_of_nothing", None)
    registry.discover()
    assert list(registry) == []


def test_an_error_in_the_rules_of_an_app_is_not_swallowed(installed):
    registry = installed("app_of_errors", "import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        registry.discover()


def test_an_app_that_is_a_single_file_has_no_rules(monkeypatch):
    module = ModuleType("app_of_one_file")
    monkeypatch.setitem(sys.modules, "app_of_one_file", module)
    monkeypatch.setattr(apps, "get_app_configs", lambda: [type("C", (), {"name": module.__name__, "module": module})])
    registry = Registry()
    registry.discover()
    assert list(registry) == []
