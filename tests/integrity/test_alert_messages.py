"""What people read: one sentence with numbers, since when, why it matters, and what to type."""

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from integrity.alerts.messages import Message, as_object, as_slack, details, headline, subject, text
from integrity.alerts.messages import test_events as events_of_a_test
from integrity.models import Run

AT = "2026-11-20T02:00:00+00:00"
EARLIER = "2026-11-19T22:30:00+00:00"
NUMBERS = {"violations": 3, "checked": 1500, "since": AT, "failing_since": AT}


def event(kind="starts_failing", **more):
    told = events_of_a_test()[0] | {"rule": "shop.totals", "event": kind, "severity": "error"}
    told |= {"because": "Totals are sums.", "command": "manage.py integrity analyze shop.totals"}
    return told | more


def message(*events, at=AT):
    run = Run(pk=41, verb="analyze", actor="cron", host="db1")
    return Message.of("an-id", 12, parse_datetime(at), list(events), run)


HEADLINES = [
    (event(**NUMBERS), "shop.totals starts failing: 3 of 1,500 break it."),
    (event(violations=2), "shop.totals starts failing: 2 break it."),
    (event(violations=1, checked=4), "shop.totals starts failing: 1 of 4 breaks it."),
    (
        event("grows", violations=30, checked=500, alert_above="5%", grown=True),
        "shop.totals grows past its limit: 30 of 500 break it, and its limit is 5%.",
    ),
    (
        event(violations=30, checked=500, alert_above=20, grown=True),
        "shop.totals starts failing: 30 of 500 break it, and its limit is 20.",
    ),
    (event("not_checked", error="It took too long"), "shop.totals could not be checked: It took too long."),
    (event("unnoticed", error="2 keys changed."), "shop.totals was changed unnoticed: 2 keys changed."),
    (event("not_imported", error="A gate"), "shop.totals could not be imported: A gate."),
    (
        event("missed", error="a look is due every 1 h"),
        "shop.totals missed its scheduled look: a look is due every 1 h.",
    ),
    (event("overdue", error="never yet"), "shop.totals is overdue for a full look: never yet."),
    (event("recovers", violations=0, checked=500), "shop.totals recovers: none of 500 breaks it."),
    (event("recovers", violations=0), "shop.totals recovers: nothing breaks it."),
    (event("recovers", retired=True), "shop.totals recovers: its table is gone, as it was declared to be."),
    (event("checked_again", violations=0, checked=5), "shop.totals is checked again: it holds."),
    (
        event("checked_again", violations=3, checked=500, failing_since=AT),
        "shop.totals is checked again: 3 of 500 break it, as since 2026-11-20 02:00 UTC.",
    ),
    (event("swept_again"), "shop.totals was looked at in full again."),
    (event(violations=1, checked=2, database="standby"), "shop.totals in standby starts failing: 1 of 2 breaks it."),
]


@pytest.mark.parametrize(("told", "expected"), HEADLINES, ids=[expected for _, expected in HEADLINES])
def test_an_event_is_one_sentence(told, expected):
    assert headline(told) == expected


def test_what_is_wrong_says_why_since_when_and_what_to_type():
    assert details(event(last_held=EARLIER, owner="ann", **NUMBERS)) == [
        "Because: Totals are sums.",
        "Last found right: 2026-11-19 22:30 UTC",
        "Severity: error, owner ann",
        "Look: manage.py integrity analyze shop.totals",
    ]


def test_what_was_failing_already_says_since_when():
    assert "It fails since 2026-11-19 22:30 UTC" in details(event("not_checked", failing_since=EARLIER))


def test_good_news_say_how_long_it_lasted():
    assert details(event("recovers", since=EARLIER)) == ["It had failed since 2026-11-19 22:30 UTC"]


def test_a_subject_tells_the_one_event():
    assert subject(message(event(**NUMBERS))) == "shop.totals starts failing: 3 of 1,500"


def test_a_subject_tells_several_events_by_number_the_worst_first():
    told = message(event("recovers"), event("not_checked", error="x"), event(**NUMBERS), event(**NUMBERS))
    assert subject(told) == "2 start failing; 1 could not be checked; 1 recovers"


def test_a_mail_holds_all_of_it(settings):
    settings.INTEGRITY = {"URL": "https://data.example.com/"}
    assert text(message(event("recovers", since=EARLIER, checked=9), event(**NUMBERS))) == (
        "shop.totals starts failing: 3 of 1,500 break it.\n"
        "  Because: Totals are sums.\n"
        "  Never found right before\n"
        "  Severity: error\n"
        "  Look: manage.py integrity analyze shop.totals\n"
        "\n"
        "shop.totals recovers: none of 9 breaks it.\n"
        "  It had failed since 2026-11-19 22:30 UTC\n"
        "\n"
        "Found by run 41 (analyze, cron on db1) on 2026-11-20 02:00 UTC.\n"
        "This message is late: it could not be delivered before.\n"
        "https://data.example.com/admin/integrity/alert/12/change/\n"
        "What is wrong now: manage.py integrity alerts\n"
    )


def test_a_message_that_comes_in_time_does_not_say_that_it_is_late():
    assert "late" not in text(message(event(**NUMBERS), at=timezone.now().isoformat()))


def test_in_slack_nothing_of_it_is_markup():
    told = as_slack(message(event("not_checked", error="<!channel> a & b")))
    assert ":red_circle: *shop.totals* could not be checked: &lt;!channel&gt; a &amp; b." in told


def test_in_slack_a_long_message_is_cut():
    told = as_slack(message(*(event("not_checked", error="x" * 5000) for _ in range(30))))
    assert len(told) < 20_000
    assert "... and 10 more" in told


def test_in_slack_the_message_leads_to_its_page(settings):
    settings.INTEGRITY = {"URL": "https://data.example.com"}
    assert "<https://data.example.com/admin/integrity/alert/12/change/|Alert 12>" in as_slack(message(event(**NUMBERS)))


def test_a_program_gets_the_facts_and_the_sentences():
    told = as_object(message(event(**NUMBERS)))
    assert (told["id"], told["alert"], told["run"], told["verb"]) == ("an-id", 12, 41, "analyze")
    assert told["events"][0]["summary"] == "shop.totals starts failing: 3 of 1,500 break it."
    assert told["url"] is None
