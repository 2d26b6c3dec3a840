"""Verbs in the administration: each with its permission, a page that says what it will do, a reason, and a record."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import Sum
from django.utils import timezone

from integrity import Automatic, Derived, Recompute
from integrity.engine import analyze
from integrity.models import Change, Result, Run, Violation
from integrity.overview.kept import forget
from integrity.repair import repair
from integrity.workers import queue
from integrity.workers.performing import perform
from tests.integrity.helpers import declared, registered, text
from tests.integrity.looks import ago, looked
from tests.integrity.test_derived import make_account
from tests.integrity.test_recompute import balance
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

HOME = "/admin/integrity/"
READ = ("view_run", "view_violation", "view_change")

WHY = {"reason": "it drifted"}


@pytest.fixture
def rule():
    wrong = balance()
    with registered(wrong):
        make_account([1, 2], balance=9)
        yield wrong


@pytest.fixture
def violation(rule):
    analyze([rule], actor="cron")
    return Violation.objects.get()


@pytest.fixture
def repaired(rule, violation):
    return Run.objects.get(pk=repair([(rule, None)], actor="bob", reason="wrong").run)


@pytest.fixture
def at_work(rule):
    run = looked(rule, ago(minutes=1), None, verb="repair", status="running")
    Run.objects.filter(pk=run.pk).update(pid=1, finished_at=None)
    return run


def of(rule, strategy="recompute"):
    return f"{HOME}declaredrule/{rule.label}/repair/{strategy}/"


def tried(client, path):
    answer = client.post(path, {**WHY, "step": "try"})
    return answer, Run.objects.filter(dry_run=True).latest("pk")


def balances():
    return list(toy.Account._base_manager.values_list("balance", flat=True))


# Who may


def paths(rule, violation, repaired, at_work):
    return {
        "analyze": f"{HOME}declaredrule/analyze/?rule={rule.label}",
        "verify": f"{HOME}run/{repaired.pk}/verify/",
        "repair": of(rule),
        "undo": f"{HOME}run/{repaired.pk}/undo/",
        "accept": f"{HOME}violation/accept/?violation={violation.pk}",
        "revoke": f"{HOME}violation/revoke/?violation={violation.pk}",
        "pause": f"{HOME}run/{at_work.pk}/pause/",
        "resume": f"{HOME}run/{at_work.pk}/resume/",
        "cancel": f"{HOME}run/{at_work.pk}/cancel/",
        "resume automatic": f"{HOME}declaredrule/{rule.label}/resume/",
    }


NEEDED = {
    "resume automatic": "control",
    "verify": "analyze",
    "revoke": "accept",
    "pause": "control",
    "resume": "control",
    "cancel": "control",
}


@pytest.mark.parametrize(
    "verb", ["analyze", "verify", "repair", "undo", "accept", "revoke", "pause", "resume", "cancel"]
)
def test_a_verb_asks_for_its_permission_before_it_shows_or_does_anything(
    staff,
    rule,
    violation,
    repaired,
    at_work,
    verb,
):
    path, needed = paths(rule, violation, repaired, at_work)[verb], NEEDED.get(verb, verb)
    others = [word for word in ("analyze", "repair", "undo", "accept", "control") if word != needed]
    runs, client = Run.objects.count(), staff(*READ, *others)
    given = {**WHY, "step": "try"}
    assert (client.get(path).status_code, client.post(path, given).status_code) == (403, 403)
    assert (Run.objects.count(), LogEntry.objects.count()) == (runs, 0)
    blind = staff(needed, name="eve")
    assert (blind.get(path).status_code, blind.post(path, given).status_code) == (403, 403)
    client = staff(*READ, needed, name="bob")
    assert client.get(path).status_code == 200
    assert Run.objects.count() == runs


def test_buttons_of_what_is_not_permitted_are_not_shown(staff, rule, violation, repaired, at_work):
    Violation.objects.update(status="open")
    pages = [f"declaredrule/{rule.label}/change/", f"violation/{violation.pk}/change/", f"run/{repaired.pk}/change/"]
    pages += [f"run/{at_work.pk}/change/", "declaredrule/"]
    buttons = {
        "Look now",
        "Look at the chosen ones",
        "Try it",
        "Accept it",
        "Take it back",
        "Verify",
        "Pause",
        "Cancel",
    }

    def shown(client):
        told = " ".join(text(client.get(HOME + page)) for page in pages)
        return {button for button in buttons if f">{button}<" in told}

    assert shown(staff(*READ)) == set()
    everything = ("analyze", "repair", "undo", "accept", "control")
    assert shown(staff(*READ, *everything, name="bob")) == buttons


@pytest.mark.parametrize("verb", ["analyze", "verify", "repair", "undo", "accept", "pause"])
def test_nothing_is_done_without_a_reason(boss, rule, violation, repaired, at_work, verb):
    runs = Run.objects.count()
    answer = boss.post(paths(rule, violation, repaired, at_work)[verb], {"reason": "  ", "step": "try"})
    assert "Say why, for the record." in text(answer)
    assert Run.objects.count() == runs


# Looking


def test_rules_are_looked_at_and_who_asked_is_recorded_twice(boss, rule):
    path = f"{HOME}declaredrule/analyze/?rule={rule.label}"
    assert "Look at" in text(boss.get(path))
    assert not Run.objects.exists()
    answer = boss.post(path, WHY, follow=True)
    run = Run.objects.get()
    assert (run.verb, run.actor, run.reason) == ("analyze", "boss", "it drifted")
    assert "found 1 violation" in text(answer)
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(run.pk), "Analyze: it drifted")


def test_a_form_that_was_sent_twice_looks_once(boss, rule):
    at_work = looked(rule, timezone.now(), None, status="running")
    Run.objects.filter(pk=at_work.pk).update(actor="boss", pid=1)
    answer = boss.post(f"{HOME}declaredrule/analyze/?rule={rule.label}", WHY)
    assert answer.url == f"{HOME}run/{at_work.pk}/change/"
    assert Run.objects.count() == 1


def test_a_look_that_takes_long_is_a_command_where_there_is_no_queue(boss, rule, monkeypatch):
    monkeypatch.setattr(queue, "is_there", lambda: False)
    looked(rule, ago(hours=1), 1, seconds=300)
    path = f"{HOME}declaredrule/analyze/?rule={rule.label}"
    assert f"manage.py integrity analyze {rule.label}" in text(boss.get(path))
    boss.post(path, WHY)
    assert Run.objects.count() == 1


def test_a_look_that_takes_long_is_put_off_where_there_is_one(boss, rule):
    looked(rule, ago(hours=1), 1, seconds=300)
    path = f"{HOME}declaredrule/analyze/?rule={rule.label}"
    assert "A worker does it" in text(boss.get(path))
    answer = boss.post(path, WHY, follow=True)
    run = Run.objects.latest("pk")
    assert (run.status, run.actor, run.reason) == ("queued", "boss", "it drifted")
    assert "It waits for a worker" in text(answer)


def test_what_a_run_changed_is_looked_at_again(boss, repaired):
    answer = boss.post(f"{HOME}run/{repaired.pk}/verify/", WHY, follow=True)
    assert Run.objects.get(verb="verify").reason == "it drifted"
    assert "found nothing wrong" in text(answer)


# Repairing


def test_a_repair_is_tried_shown_and_carried_out_once(boss, rule, violation):
    page, dry = tried(boss, of(rule))
    for told in ("Nothing is written yet", "1 row would be written", "<del>9", "<ins>3", "Write 1 row"):
        assert told in text(page)
    assert balances() == [9]
    apply = {**WHY, "step": "apply", "tried": dry.pk}
    answer = boss.post(of(rule), apply, follow=True)
    run = Run.objects.get(verb="repair", dry_run=False)
    assert (balances(), run.actor, run.reason) == ([3], "boss", "it drifted")
    assert f"Run {run.pk} (repair) wrote 1 row." in text(answer)
    assert LogEntry.objects.get().change_message == "Repair: 1 row. it drifted"
    again = boss.post(of(rule), apply, follow=True)
    assert "was confirmed before" in text(again)
    assert Run.objects.filter(verb="repair", dry_run=False).count() == 1


def test_a_repair_that_was_not_tried_is_not_carried_out(boss, rule, violation, repaired):
    toy.Account._base_manager.update(balance=7)
    for number in ("", "999999", str(repaired.pk)):
        boss.post(of(rule), {**WHY, "step": "apply", "tried": number})
    assert balances() == [7]


def test_nobody_confirms_what_somebody_else_has_tried(boss, staff, rule, violation):
    _, dry = tried(boss, of(rule))
    client = staff(*READ, "repair")
    answer = client.post(of(rule), {**WHY, "step": "apply", "tried": dry.pk}, follow=True)
    assert f"Run {dry.pk} is no dry run of ann" in text(answer)
    assert balances() == [9]


def test_a_repair_of_one_violation_leaves_the_others(boss, rule):
    make_account([1], balance=5)
    analyze([rule])
    chosen = Violation.objects.latest("pk")
    path = f"{of(rule)}?violation={chosen.pk}"
    _, dry = tried(boss, path)
    boss.post(path, {**WHY, "step": "apply", "tried": dry.pk})
    assert sorted(balances()) == [1, 9]


def test_the_brake_is_opened_by_a_field_of_its_own(boss, rule, violation, settings):
    settings.INTEGRITY = {"MAX_AFFECTED_ROWS": 0, "MAX_AFFECTED_SHARE": 0.0}
    page, dry = tried(boss, of(rule))
    assert "Open the brake" in text(page)
    apply = {**WHY, "step": "apply", "tried": dry.pk}
    refused = boss.post(of(rule), apply, follow=True)
    assert "It was not finished" in text(refused)
    assert balances() == [9]
    _, dry = tried(boss, of(rule))
    boss.post(of(rule), {**WHY, "step": "apply", "tried": dry.pk, "max_affected": "100%"})
    assert balances() == [3]
    assert Run.objects.filter(dry_run=False).latest("pk").options["max_affected"] == "100%"


def test_a_repair_that_lasts_longer_than_a_request_may_ends_between_batches(boss, rule, violation, settings):
    settings.INTEGRITY = {"ADMIN_SECONDS": 0.000001, "BATCH_KEYS": 1}
    make_account([1], balance=5)
    Result.objects.update(seconds=0)
    page, _ = tried(boss, of(rule))
    assert "as long as the administration waits" in text(page)
    assert "manage.py integrity repair" in text(page)


def test_a_repair_that_takes_long_is_put_off_tried_and_carried_out_by_a_worker(boss, rule, violation):
    looked(rule, ago(seconds=1), 1, seconds=300)
    _, dry = tried(boss, of(rule))
    assert (dry.status, balances()) == ("queued", [9])
    perform(dry.pk)
    page = text(boss.get(f"{HOME}run/{dry.pk}/change/"))
    assert f"{of(rule)}?tried={dry.pk}" in page
    boss.post(f"{of(rule)}?tried={dry.pk}", {**WHY, "step": "apply", "tried": dry.pk})
    perform(Run.objects.get(verb="repair", dry_run=False).pk)
    assert balances() == [3]
    assert "?tried=" not in text(boss.get(f"{HOME}run/{dry.pk}/change/"))


def test_an_unknown_repair_or_violation_is_not_there(boss, rule):
    assert boss.get(of(rule, "magic")).status_code == 404
    assert boss.get(f"{of(rule)}?violation=999").status_code == 404


# Taking back


def test_a_run_is_taken_back_in_the_same_two_steps(boss, repaired):
    path = f"{HOME}run/{repaired.pk}/undo/"
    page, dry = tried(boss, path)
    assert "1 row would be written" in text(page)
    assert balances() == [3]
    boss.post(path, {**WHY, "step": "apply", "tried": dry.pk})
    assert balances() == [9]
    undone = Run.objects.get(verb="undo", dry_run=False)
    assert (undone.actor, undone.reason, undone.of_id) == ("boss", "it drifted", repaired.pk)
    assert Change.objects.filter(run=repaired, undone_by=undone).count() == 1


def test_a_conflict_is_shown_before_anything_is_taken_back(boss, repaired):
    toy.Account._base_manager.update(balance=4)
    page, _ = tried(boss, f"{HOME}run/{repaired.pk}/undo/")
    assert "stays as it is" in text(page)
    assert "There is nothing to write." in text(page)


# Accepting


def test_a_violation_is_accepted_with_a_reason_and_until_when_and_revoked(boss, violation):
    path = f"{HOME}violation/accept/?violation={violation.pk}"
    until = timezone.localtime(timezone.now() + timedelta(days=3)).replace(second=0, microsecond=0)
    boss.post(path, {**WHY, "until": f"{until:%Y-%m-%dT%H:%M}"})
    violation.refresh_from_db()
    assert (violation.status, violation.accepted_by, violation.accepted_until) == ("accepted", "boss", until)
    boss.post(f"{HOME}violation/revoke/?violation={violation.pk}", {"reason": "no longer"})
    violation.refresh_from_db()
    assert violation.status == "open"
    said = list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))
    assert said[0].endswith(": it drifted")
    assert said[1] == "No longer accepted: no longer"


def test_a_time_that_is_past_is_refused_beside_its_field(boss, violation):
    path = f"{HOME}violation/accept/?violation={violation.pk}"
    assert "Give a time to come." in text(boss.post(path, {**WHY, "until": "2020-01-01T00:00"}))
    violation.refresh_from_db()
    assert violation.status == "open"


def test_several_are_accepted_from_the_list(staff, violation):
    given = {"action": "accept_selected", "_selected_action": [violation.pk]}
    assert "accept_selected" not in text(staff(*READ).get(f"{HOME}violation/"))
    client = staff(*READ, "accept", name="bob")
    answer = client.post(f"{HOME}violation/", given)
    assert answer.url == f"{HOME}violation/accept/?violation={violation.pk}"


def test_several_are_repaired_from_the_list_where_there_is_one_repair(staff, rule, violation):
    given = {"action": "repair_selected", "_selected_action": [violation.pk]}
    client = staff(*READ, "repair")
    answer = client.post(f"{HOME}violation/", given)
    assert answer.url == f"{HOME}violation/repair/?violation={violation.pk}"
    assert client.get(answer.url).url == f"{of(rule)}?violation={violation.pk}"


def test_of_several_repairs_one_is_chosen_for_the_violations(boss):
    several = declared(
        Derived,
        toy.Account,
        "balance",
        equals=Sum("entries__amount"),
        repairs={"recompute": Recompute(), "again": Recompute()},
    )
    with registered(several):
        make_account([1, 2], balance=9)
        analyze([several])
        number = Violation.objects.get().pk
        page = text(boss.get(f"{HOME}violation/repair/?violation={number}"))
    assert all(f"{of(several, name)}?violation={number}" in page for name in several.repairs)


def test_violations_of_several_rules_are_not_repaired_by_one_click(boss, rule, violation):
    other = Violation.objects.create(rule="toy.other", key={"id": 1}, first_seen=ago(), last_seen=ago())
    answer = boss.get(f"{HOME}violation/repair/?violation={violation.pk}&violation={other.pk}", follow=True)
    assert "They break different rules" in text(answer)


# Holding


def test_a_run_is_paused_resumed_and_cancelled(boss, at_work):
    for verb, asked in (("pause", "pause"), ("resume", ""), ("cancel", "cancel")):
        boss.post(f"{HOME}run/{at_work.pk}/{verb}/", WHY)
        at_work.refresh_from_db()
        assert (at_work.asked, at_work.asked_by) == (asked, "boss")
    said = list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))
    assert said == ["Pause: it drifted", "Resume: it drifted", "Cancel: it drifted"]


def test_what_cannot_be_held_says_why(boss, repaired):
    answer = boss.post(f"{HOME}run/{repaired.pk}/pause/", WHY, follow=True)
    assert "has ended" in text(answer)
    assert not LogEntry.objects.exists()


def test_an_automatic_repair_that_waits_is_told_and_resumed(boss, rule):
    rule.automatic = Automatic("recompute", rows=1)
    run = looked(rule, ago(hours=1), 5, verb="repair", status="refused")
    Run.objects.filter(pk=run.pk).update(options={"automatic": rule.automatic.as_json()}, error="too much")
    forget()
    assert "Automatic repairs that wait for a person" in text(boss.get("/admin/"))
    page = text(boss.get(f"{HOME}declaredrule/{rule.label}/change/"))
    assert f"run {run.pk} was refused: too much" in page
    path = f"{HOME}declaredrule/{rule.label}/resume/"
    assert path in page
    boss.post(path, WHY)
    assert Run.objects.get(verb="resume").reason == "it drifted"
    assert "wait for a person" not in text(boss.get("/admin/"))
    assert LogEntry.objects.get().change_message.endswith(": it drifted")
