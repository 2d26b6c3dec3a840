"""Wrong declarations: each told when Django starts, by what is wrong and what to do."""

import datetime

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.db.models import Avg, Count, F, Max, Q, Sum

from integrity import Adjust, Always, Derived, Latest, PerKey, Recompute, Trim
from integrity.exceptions import WrongDeclaration
from tests.integrity.helpers import declared, registered
from tests.toy import models as toy


def balance(equals, column="balance", **options):
    return declared(Derived, toy.Account, column, equals=equals, name="balance", **options)


def ledger(*steps, equals=None, truth="column"):
    equals = equals or Sum("postings__amount")
    return declared(Derived, toy.Ledger, "total", truth=truth, equals=equals, name="ledger", repairs={"fix": steps})


def positive(condition=None, model=toy.Account, **options):
    options.setdefault("name", "positive")
    return declared(Always, model, condition or Q(balance__gte=0), **options)


def adjust(**row):
    return Adjust("postings", amount="amount", row=row)


def line(**options):
    return declared(Derived, toy.Line, "shipped", equals=F("quantity"), name="line", **options)


WRONG = {
    "unknown field": (
        balance(Sum("entries__sum")),
        "toy.Entry has no field 'sum' (in 'entries__sum')",
        "Fields are: account, amount, at,",
    ),
    "unknown relation": (balance(Sum("entry__amount")), "toy.Account has no field 'entry'", "balance, branch,"),
    "unknown column": (
        balance(Sum("entries__amount"), "balanced"),
        "'balanced' is not a stored column of toy.Account",
        "concrete field",
    ),
    "unknown stamp": (
        balance(Sum("entries__amount"), stamps={"at": 1}),
        "'at' is not a stored column",
        "concrete field",
    ),
    "unknown evidence": (
        balance(Sum("entries__amount"), evidence={"a": F("nothing")}),
        "has no field 'nothing'",
        "Fields are",
    ),
    "unknown where": (positive(where=Q(colour=1)), "toy.Account has no field 'colour'", "Fields are"),
    "unknown filter": (
        balance(Sum("entries__amount", filter=Q(entries__colour=1))),
        "toy.Entry has no field 'colour'",
        "Fields are",
    ),
    "unknown truth": (balance(Sum("entries__amount"), truth="both"), "truth='both' is unknown", '"rows", "column"'),
    "two relations at once": (
        balance(Sum(F("entries__amount") * F("clubs__points"))),
        "aggregates over two relations at once",
        "one aggregate for each relation",
    ),
    "two relations in a filter": (
        balance(Sum("entries__amount", filter=Q(clubs__points=1))),
        "aggregates over two relations at once",
        "one aggregate for each relation",
    ),
    "to many outside": (
        balance(F("entries__amount")),
        "'entries__amount' leads to many rows outside of an aggregate",
        "Latest",
    ),
    "to many in where": (positive(where=Q(entries__void=True)), "'entries__void' leads to many rows", "Exists()"),
    "aggregate of nothing": (
        balance(Max("limit")),
        "aggregates no related rows of toy.Account",
        "relation to many rows",
    ),
    "per key without reads": (
        balance(PerKey(lambda: toy.Entry.objects.values(key=F("account_id"), value=F("amount")), reads=[])),
        "does not say which models it reads",
        "reads=[...]",
    ),
    "latest of no row": (balance(Latest("limit", by=["id"])), "aggregates no related rows", "relation to many rows"),
    "recompute of a master": (ledger(Recompute()), "would overwrite the master: Recompute is refused", "Trim, Adjust"),
    "recompute of a condition": (
        positive(repairs={"fix": Recompute()}),
        "repair 'fix' is Recompute, which only a Derived rule has a value for",
        "another repair",
    ),
    "two masters": (
        declared(
            Derived,
            toy.Account,
            name="a",
            truth="column",
            equals={"balance": Sum("entries__amount"), "entry_count": Count("entries")},
        ),
        'truth="column" speaks of one column',
        "one rule for each",
    ),
    "stamped master": (
        balance(Sum("entries__amount"), truth="column", stamps={"touched_at": 1}),
        'truth="column" speaks of one column',
        "one rule for each",
    ),
    "name": (positive(name="Is Positive"), "the name 'Is Positive' is not lower case letters", "stored in records"),
    "severity": (positive(severity="fatal"), "the severity 'fatal' is unknown", "error, warning, info"),
    "floats": (
        declared(Derived, toy.Box, "weight", equals=Sum("items__weight"), name="weight"),
        "it adds floats and has no tolerance",
        "give tolerance=",
    ),
    "mean of floats": (
        declared(Derived, toy.Box, "weight", equals=Avg("items__weight"), name="weight"),
        "it adds floats and has no tolerance",
        "give tolerance=",
    ),
    "another table": (positive(Q(branch__rate=1)), "'branch__rate' reads another table", "Use Derived"),
    "table of a parent": (
        positive(Q(name="a"), toy.Employee),
        "'name' stands in another table, that of toy.Person",
        "over toy.Person",
    ),
    "aggregate in a condition": (
        positive(Q(balance__gte=Count("entries"))),
        "the condition aggregates rows",
        "Use Derived",
    ),
    "settle": (positive(settle={"entries__at": datetime.timedelta(1)}), "'entries__at' leads to many rows", "Exists()"),
    "unknown settle": (positive(settle={"made": datetime.timedelta(1)}), "has no field 'made'", "Fields are"),
    "trim of rows that are the truth": (
        ledger(Trim("postings", amount="amount"), truth="rows"),
        "repair 'fix' is Trim, which writes rows until they add up to a master column",
        'truth="column"',
    ),
    "trim of another column": (
        ledger(Trim("postings", amount="amount"), equals=Count("postings")),
        "changes postings__amount, which toy.ledger does not sum",
        "made of Sum()",
    ),
    "trim of a subtracted column": (
        ledger(Trim("postings", amount="amount"), equals=Sum("slot__amount") - Sum("postings__amount")),
        "changes postings__amount, which toy.ledger does not add as it is",
        "not subtracted or multiplied",
    ),
    "trim of a multiplied column": (
        ledger(Trim("postings", amount="amount"), equals=Sum("postings__amount") * 2),
        "changes postings__amount, which toy.ledger does not add as it is",
        "not subtracted or multiplied",
    ),
    "trim of what is summed twice": (
        ledger(
            Trim("postings", amount="amount"),
            equals=Sum("postings__amount") + Sum("postings__amount", filter=Q(postings__correction=True)),
        ),
        "changes rows of postings, which toy.ledger aggregates more than once",
        "counts once",
    ),
    "trim of no relation": (
        ledger(Trim("total", amount="amount")),
        "names 'total', which is not the reverse",
        "related name",
    ),
    "trim of an unknown relation": (
        ledger(Trim("posting", amount="amount")),
        "toy.Ledger has no field 'posting'",
        "Fields are",
    ),
    "trim of an unknown amount": (
        ledger(Trim("postings", amount="sum")),
        "toy.Posting has no field 'sum'",
        "Fields are",
    ),
    "trim in an unknown order": (
        ledger(Trim("postings", amount="amount", order=["-hour"])),
        "toy.Posting has no field 'hour'",
        "Fields are",
    ),
    "trim with unknown evidence": (
        ledger(Trim("postings", amount="amount", evidence={"why": F("hour")})),
        "toy.Posting has no field 'hour'",
        "Fields are",
    ),
    "adjust without a required column": (
        declared(
            Derived,
            toy.Branch,
            "rate",
            name="a",
            truth="column",
            equals=Sum("accounts__limit"),
            repairs={"fix": Adjust("accounts", amount="limit", row={"nickname": "a"})},
        ),
        "sets 'nickname', which toy.Account does not have",
        "",
    ),
    "adjust lacks a column": (
        declared(
            Derived,
            toy.Account,
            "balance",
            name="a",
            truth="column",
            equals=Sum("notes__amount"),
            repairs={"fix": Adjust("notes", amount="amount", row={})},
        ),
        "does not say what 'text' of a new toy.Note is",
        "Add 'text' to row=",
    ),
    "adjust with an unknown value": (ledger(adjust(day=F("opened"))), "toy.Ledger has no field 'opened'", "Fields are"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_declaration_is_told_with_its_way_out(case):
    rule, what, hint = WRONG[case]
    found = rule.check()
    assert len(found) == 1
    assert found[0].msg.startswith(f"{rule.label}: ")
    assert what in found[0].msg
    assert hint in (found[0].hint or "")
    assert found[0].id == "integrity.E002"


def test_a_rule_without_a_reason_is_told():
    rule = Always(toy.Account, Q(balance__gte=0), name="a", because=" ")
    assert [problem.msg for problem in rule.check()] == [".a: it does not say because of what it holds."]


@pytest.mark.parametrize("arguments", [("balance", {"balance": F("limit")}), (None, F("limit"))])
def test_a_column_and_a_mapping_contradict_each_other_at_once(arguments):
    column, equals = arguments
    with pytest.raises(WrongDeclaration, match="give one column and its expression"):
        Derived(toy.Account, column, equals=equals, name="a", because="b")


@pytest.mark.parametrize(
    "rule",
    [
        balance(Sum("entries__amount")),
        positive(),
        ledger(Trim("postings", amount="amount", order=["-day", F("amount").desc()]), adjust(correction=True)),
        line(),
        positive(where=Q(branch__rate=1), settle={"touched_at": datetime.timedelta(1)}),
    ],
)
def test_a_right_declaration_has_no_problem(rule):
    assert rule.check() == []


def test_several_problems_of_a_rule_are_told_together():
    assert len(positive(name="A", severity="fatal").check()) == 2


def test_django_s_own_check_tells_them():
    wrong = balance(F("entries__amount"))
    with registered(wrong):
        found = [problem.msg for problem in run_checks(app_configs=[apps.get_app_config("toy")])]
    assert any(problem.startswith("toy.balance: ") for problem in found)


def test_rules_of_other_apps_are_left_out_of_an_app_s_check():
    with registered(balance(F("entries__amount"))):
        assert run_checks(app_configs=[apps.get_app_config("players")]) == []


def test_a_database_that_is_not_postgresql_is_told(settings):
    settings.DATABASE_ROUTERS = [type("Elsewhere", (), {"db_for_read": lambda *_, **__: "small"})()]
    from django.db import connections

    connections.databases["small"] = {
        **connections.databases["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
    }
    try:
        with registered(positive()):
            found = [
                problem
                for problem in run_checks(app_configs=[apps.get_app_config("toy")])
                if problem.id == "integrity.E001"
            ]
    finally:
        del connections.databases["small"]
        del connections["small"]
    assert found[0].msg == "toy.positive: the database 'small' is sqlite, and rules need PostgreSQL 15 or later."
