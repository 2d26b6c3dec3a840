"""The administration: who may do what, what it shows, and that kilometres move by verbs alone."""

from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from integrity.models import Change, Run
from players.keys import check_key, create_key
from players.models import ApiKey, Group, HourlyMetric, MasterCorrection, OpenSession, Player
from tests.players.factories import make_device, make_group, make_hour, make_player

pytestmark = pytest.mark.django_db

PAGES = ("apikey", "device", "group", "hourlymetric", "mastercorrection", "opensession", "player")
VIEW = [f"players.view_{name}" for name in PAGES]


@pytest.fixture
def staff(client, django_user_model):
    """Log in somebody with these permissions beside seeing everything."""

    def log_in(*permissions, sees=VIEW):
        account, _ = django_user_model.objects.get_or_create(username="ann", is_staff=True)
        account.user_permissions.clear()
        for permission in [*sees, *permissions]:
            app, _, codename = permission.partition(".")
            account.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        client.force_login(account)
        return client

    return log_in


def url(model, *parts):
    return "/".join(["/admin/players", model, *map(str, parts), ""])


def text(answer):
    return unescape(answer.content.decode())


def make_wrong(**fields):
    """A player whose newest hour is there twice: 3 km too much."""
    player = make_player(rides=[4, 3], name="Bob", id_tag="bob", **fields)
    make_hour(player, make_device(), 1, km=3)
    return player


# Seeing


def every_page():
    player = make_wrong(groups=[make_group("School")])
    key = create_key("bike", make_device())[1]
    MasterCorrection.objects.create(
        player=player, before_km=1, after_km=2, reason="why", actor="ann", at="2026-03-02T00:00Z"
    )
    rows = {"player": player.pk, "group": player.groups.get().pk, "apikey": key.pk, "device": key.device_id}
    rows["hourlymetric"] = HourlyMetric.objects.first().pk
    lists = [url(page) for page in PAGES]
    return [*lists, *(url(page, pk, "change") for page, pk in rows.items()), url("player", player.pk, "check")]


def test_strangers_are_asked_to_log_in(client):
    for path in every_page():
        assert client.get(path)["Location"].startswith("/admin/login/")


def test_whoever_may_see_nothing_sees_nothing(staff):
    client = staff(sees=())
    for path in every_page():
        assert client.get(path).status_code == 403


def test_whoever_may_look_sees_every_page_and_no_way_to_write(staff):
    client = staff()
    for path in every_page():
        answer = client.get(path)
        assert answer.status_code == 200, path
        for word in ("Add player", 'name="_save"', "Try it", "Correct it, with a reason", "Delete"):
            assert word not in text(answer), (path, word)


@pytest.mark.parametrize("model", ["hourlymetric", "opensession", "mastercorrection"])
def test_what_verbs_write_nobody_edits(admin_client, model):
    make_player(rides=[4], open=[3, 1])
    row = HourlyMetric.objects.get().pk if model == "hourlymetric" else 1
    assert admin_client.get(url(model, "add")).status_code == 403
    assert admin_client.post(url(model, row, "delete"), {"post": "yes"}).status_code in (302, 403)
    admin_client.post(url(model, row, "change"), {"distance_km": "99"})
    assert HourlyMetric.objects.get().distance_km == 4


def test_no_form_takes_a_total(admin_client):
    player, group = make_player(stored=5, name="Bob"), make_group("School", total=5)
    for path in (url("player", player.pk, "change"), url("group", group.pk, "change")):
        assert 'name="distance_total"' not in text(admin_client.get(path))
    admin_client.post(url("player", player.pk, "change"), {"name": "Bob", "id_tag": "b", "distance_total": "99"})
    assert Player.objects.get().distance_total == 5


def test_names_are_text_and_never_markup(admin_client):
    name = "<script>alert(1)</script>"
    group = make_group(name)
    player = make_wrong(groups=[group])
    Player.objects.update(name=name)
    for path in (url("group"), url("player"), url("player", player.pk, "check"), url("player", player.pk, "change")):
        assert name not in admin_client.get(path).content.decode()


@pytest.mark.parametrize("path", ["/admin/players/player/999/check/", "/admin/players/group/x/check/"])
def test_a_row_that_does_not_exist_is_not_found(admin_client, path):
    assert admin_client.get(path).status_code == 404


@pytest.mark.parametrize("model", ["player", "group", "hourlymetric", "opensession", "device", "apikey"])
def test_a_list_takes_the_same_queries_however_much_there_is(admin_client, model):
    def fill(count):
        for number in range(count):
            group = make_group(parent=make_group(parent=make_group()))
            player = make_player(rides=[1], open=[2, 1], groups=[group], device=make_device(group=group))
            create_key(f"key {number}", player.open_session.device)

    def queries():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert admin_client.get(url(model)).status_code == 200
        return len(captured)

    fill(1)
    few = queries()
    fill(7)
    assert queries() == few <= 12


# Groups


def test_groups_are_listed_as_a_tree_with_totals_and_members(admin_client):
    school = make_group("School", make_group("City", total=9), total=7)
    make_player(stored=7, groups=[make_group("Zebra class", school, total=7), make_group("Ant class", school, total=7)])
    page = text(admin_client.get(url("group")))
    places = [page.index(f'tree-{depth}">{name}') for depth, name in enumerate(["City", "School", "Ant class"])]
    assert sorted(places) == places
    assert "off by +2 km" in page or "off by +2.00000 km" in page


def save_group(client, group, **changed):
    fields = {"name": group.name, "kind": group.kind, "parent": group.parent_id or "", "is_visible": "on"}
    return client.post(url("group", group.pk, "change"), fields | changed)


def test_a_moved_group_takes_its_total_along(admin_client):
    east, west = make_group("East", total=5), make_group("West")
    school = make_group("School", east, total=5)
    make_player(stored=5, groups=[school])
    assert save_group(admin_client, school, parent=west.pk).status_code == 302
    assert dict(Group.objects.values_list("name", "distance_total")) == {"East": 0, "West": 5, "School": 5}


def test_a_cycle_is_an_error_beside_the_parent(admin_client):
    city = make_group("City")
    school = make_group("School", city)
    answer = save_group(admin_client, city, parent=school.pk)
    assert answer.status_code == 200
    assert 'Group "City" cannot be its own ancestor: choose a parent outside of its subtree.' in text(answer)
    assert Group.objects.get(name="City").parent is None


@pytest.mark.django_db(transaction=True)
def test_a_cycle_that_only_the_commit_finds_is_the_same_error(admin_client, monkeypatch):
    city = make_group("City")
    school = make_group("School", city)
    # As if the other half of the cycle had been committed after the form was found valid.
    monkeypatch.setattr(Group, "clean", lambda group: None)
    monkeypatch.setattr("players.admin.groups.place_group", lambda group: group.save())
    answer = save_group(admin_client, city, parent=school.pk)
    assert answer.status_code == 200
    assert 'Group "City" cannot be its own ancestor: choose a parent outside of its subtree.' in text(answer)
    assert Group.objects.get(name="City").parent is None


def test_another_refusal_of_the_database_is_not_hidden(admin_client, monkeypatch):
    def broken(group):
        raise IntegrityError("something else")

    monkeypatch.setattr("players.admin.groups.place_group", broken)
    with pytest.raises(IntegrityError, match="something else"):
        save_group(admin_client, make_group("City"))


def test_a_total_that_is_off_is_recomputed_from_the_group(admin_client):
    group = make_group("School", total=9)
    make_player(stored=7, groups=[group])
    assert "It does not add up" in text(admin_client.get(url("group", group.pk, "check")))
    admin_client.post(url("group", group.pk, "repair", "recompute"), {"step": "apply", "reason": "a trial"})
    assert Group.objects.get().distance_total == 7


# Players


def test_players_are_found_by_name_and_by_tag(admin_client):
    make_player(name="Ann", id_tag="04:a3")
    make_player(name="Bob", id_tag="17:b4")
    assert "Bob" not in text(admin_client.get(url("player"), {"q": "ann"}))
    assert "Bob" in text(admin_client.get(url("player"), {"q": "17:B"}))


@pytest.mark.parametrize(
    ("query", "names"),
    [({"adds-up": "no"}, ["Bob"]), ({"rides": "yes"}, ["Cleo"]), ({"rides": "no"}, ["Bob", "Dan"]), ({"in": "0"}, [])],
)
def test_players_are_filtered(admin_client, query, names):
    make_wrong()
    make_player(rides=[1], open=[2, 1], name="Cleo")
    make_player(name="Dan")
    make_group()
    page = text(admin_client.get(url("player"), query))
    assert [name for name in ("Bob", "Cleo", "Dan") if f">{name}<" in page] == names


def test_players_of_a_group_are_those_of_its_subtree(admin_client):
    school = make_group("School")
    make_player(name="Ann", groups=[make_group("Class", school)])
    make_player(name="Bob")
    page = text(admin_client.get(url("player"), {"in": school.pk}))
    assert ">Ann<" in page
    assert ">Bob<" not in page


def test_a_player_changes_class_and_the_totals_follow(admin_client):
    old, new = make_group("Old", total=5), make_group("New")
    player = make_player(stored=5, groups=[old])
    fields = {"name": "Ann", "id_tag": "ann", "is_visible": "on", "member_of": [new.pk]}
    assert admin_client.post(url("player", player.pk, "change"), fields).status_code == 302
    assert dict(Group.objects.values_list("name", "distance_total")) == {"Old": 0, "New": 5}
    assert Player.objects.get().name == "Ann"


def test_a_tag_that_another_player_has_is_refused_whatever_its_case(admin_client):
    make_player(id_tag="Tag")
    answer = admin_client.post(url("player", "add"), {"name": "Ann", "id_tag": "tAG"})
    assert "Another player has this ID tag" in text(answer)


def test_a_player_with_history_cannot_be_deleted(admin_client):
    player = make_player(rides=[1] * 12, groups=[make_group("School", total=12)])
    page = text(admin_client.get(url("player", player.pk, "delete")))
    assert "protected related objects" in page
    assert "and 2 more" in page
    admin_client.post(url("player", player.pk, "delete"), {"post": "yes"})
    assert Player.objects.exists()


# Checking and repairing


def test_what_does_not_add_up_is_shown_with_its_evidence_and_what_could_be_done(admin_client):
    page = " ".join(text(admin_client.get(url("player", make_wrong().pk, "check"))).split())
    assert "It does not add up" in page
    assert "+3.00000" in page
    assert "the same hour on two devices" in page
    assert "delete_extra_metrics" in page
    assert "recalculate_from_player" in page


def test_looking_leaves_no_record(admin_client):
    admin_client.get(url("player", make_wrong().pk, "check"))
    assert not Run.objects.exists()


def test_a_player_who_adds_up_has_nothing_to_repair(admin_client):
    page = text(admin_client.get(url("player", make_player(rides=[4]).pk, "check")))
    assert "It adds up" in page
    assert "What could be done" not in page


def repair(client, player, step, strategy="delete_extra_metrics", **fields):
    return client.post(url("player", player.pk, "repair", strategy), {"step": step, "reason": "twice"} | fields)


def test_trying_a_repair_writes_nothing_and_asks(admin_client):
    player = make_wrong()
    answer = repair(admin_client, player, "try")
    assert "Write 1 row" in text(answer)
    assert HourlyMetric.objects.count() == 3
    assert Run.objects.get().dry_run


def test_a_repair_records_who_and_why_and_can_be_taken_back(admin_client):
    player = make_wrong()
    assert repair(admin_client, player, "apply").status_code == 302
    run = Run.objects.get(dry_run=False)
    assert (run.actor, run.reason, run.status) == ("admin", "twice", "clean")
    assert HourlyMetric.objects.count() == 2

    page = text(admin_client.get(url("player", player.pk, "check")))
    assert "It adds up" in page
    assert f"Run {run.pk}: repair" in page
    undo = url("player", player.pk, "undo", run.pk)
    assert "Write 1 row" in text(admin_client.post(undo, {"step": "try", "reason": "a mistake"}))
    admin_client.post(undo, {"step": "apply", "reason": "a mistake"})
    assert HourlyMetric.objects.count() == 3
    assert Change.objects.filter(run=run, undone_by__actor="admin").exists()


def test_a_missing_hour_is_added_as_an_adjustment(admin_client):
    player = make_player(stored=9, rides=[4, 3])
    repair(admin_client, player, "apply", "recalculate_from_player")
    assert HourlyMetric.objects.get(is_adjustment=True).distance_km == 2


def test_a_repair_without_a_reason_is_refused(admin_client):
    player = make_wrong()
    answer = repair(admin_client, player, "apply", reason="  ")
    assert "Say why" in text(admin_client.get(answer["Location"]))
    assert not Run.objects.exists()


@pytest.mark.parametrize("step", ["try", "apply"])
def test_only_who_may_repair_or_undo_does(staff, step):
    player = make_wrong()
    client = staff("players.change_player", "players.change_hourlymetric", "integrity.undo")
    assert repair(client, player, step).status_code == 403
    client = staff("integrity.repair")
    assert client.post(url("player", player.pk, "undo", 1), {"step": step, "reason": "x"}).status_code == 403
    assert not Run.objects.exists()


def test_who_may_repair_repairs_and_who_may_undo_takes_it_back(staff):
    player = make_wrong()
    assert repair(staff("integrity.repair"), player, "apply").status_code == 302
    run = Run.objects.get(dry_run=False)
    assert run.actor == "ann"
    undone = staff("integrity.undo").post(
        url("player", player.pk, "undo", run.pk), {"step": "apply", "reason": "for a test"}
    )
    assert undone.status_code == 302
    assert Run.objects.get(verb="undo").of == run


def test_a_repair_needs_a_post(admin_client):
    assert admin_client.get(url("player", make_wrong().pk, "repair", "delete_extra_metrics")).status_code == 403
    assert not Run.objects.exists()


def test_a_repair_that_is_not_offered_does_not_exist(admin_client):
    assert repair(admin_client, make_wrong(), "apply", "drop_everything").status_code == 404


def test_only_the_runs_of_a_row_can_be_taken_back_from_its_page(admin_client):
    player, other = make_wrong(), make_player(name="Cleo")
    repair(admin_client, player, "apply")
    run = Run.objects.get(dry_run=False).pk
    answer = admin_client.post(url("player", other.pk, "undo", run), {"step": "apply", "reason": "x"})
    assert answer.status_code == 404
    assert not Change.objects.exclude(undone_by=None).exists()


def test_a_rule_that_is_being_repaired_is_said_and_not_waited_for(admin_client, monkeypatch):
    from integrity.exceptions import RunInProgress

    def busy(*_, **__):
        raise RunInProgress("Run 7 of bob works on players.mileage_adds_up.")

    monkeypatch.setattr("players.admin.players.fix_mileage", busy)
    answer = repair(admin_client, make_wrong(), "apply")
    assert "Run 7 of bob works on" in text(admin_client.get(answer["Location"]))


# Correcting the master


def correct(client, player, total, seen, reason="a wheel of another size"):
    fields = {"total": total, "seen": seen, "reason": reason}
    return client.post(url("player", player.pk, "correct"), fields)


def test_a_master_is_corrected_with_its_groups_by_name_and_reason(admin_client):
    player = make_wrong(groups=[make_group("School", total=7)])
    assert correct(admin_client, player, "10", "7").status_code == 302
    player.refresh_from_db()
    assert player.distance_total == Group.objects.get().distance_total == 10
    done = MasterCorrection.objects.get()
    assert (done.actor, done.reason) == ("admin", "a wheel of another size")
    assert "It adds up" in text(admin_client.get(url("player", player.pk, "check")))


def test_what_was_ridden_since_the_page_was_opened_stays_in(admin_client):
    player = make_player(stored=7)
    Player.objects.update(distance_total=8)
    correct(admin_client, player, "10", "7")
    assert Player.objects.get().distance_total == 11


@pytest.mark.parametrize(
    ("total", "reason", "message"),
    [
        ("7", "why not", "nothing to correct"),
        ("8", " ", "Say why"),
        ("-1", "why not", "greater than or equal to 0"),
        ("NaN", "why not", "Enter a number"),
        ("1.000001", "why not", "no more than 5 decimal places"),
    ],
)
def test_a_wrong_correction_is_said_beside_its_field(admin_client, total, reason, message):
    player = make_player(stored=7)
    answer = correct(admin_client, player, total, "7", reason)
    assert message in text(answer)
    assert not MasterCorrection.objects.exists()


def test_only_who_may_add_corrections_may_correct(staff):
    player = make_player(stored=7)
    client = staff("players.change_player", "integrity.repair")
    assert client.get(url("player", player.pk, "correct")).status_code == 403
    assert correct(client, player, "8", "7").status_code == 403
    assert not MasterCorrection.objects.exists()


def test_who_may_add_corrections_may_correct(staff):
    player = make_player(stored=7)
    assert correct(staff("players.add_mastercorrection"), player, "8", "7").status_code == 302
    assert MasterCorrection.objects.get().actor == "ann"


# Sessions


def close(client):
    chosen = list(OpenSession.objects.values_list("pk", flat=True))
    return client.post(url("opensession"), {"action": "close", "_selected_action": chosen}, follow=True)


def test_a_session_that_is_closed_goes_into_history(admin_client):
    player = make_player(rides=[4], open=[3, 1])
    assert "1 session is closed; 2.00000 km went into history." in text(close(admin_client))
    assert not OpenSession.objects.exists()
    assert sum(HourlyMetric.objects.filter(player=player).values_list("distance_km", flat=True)) == 6


def test_only_who_may_change_sessions_may_close_them(staff):
    make_player(rides=[4], open=[3, 1])
    close(staff())
    assert OpenSession.objects.exists()


def test_who_may_change_sessions_may_close_them(staff):
    make_player(rides=[4], open=[3, 1])
    close(staff("players.change_opensession"))
    assert not OpenSession.objects.exists()


# Keys


def test_a_new_key_is_shown_exactly_once(admin_client):
    device = make_device("Bike")
    answer = admin_client.post(url("apikey", "add"), {"name": "the box", "device": device.pk})
    plain = text(answer).partition('id="new-key">')[2].partition("<")[0]
    record = ApiKey.objects.get()
    assert check_key(plain) == record
    assert (record.name, record.device) == ("the box", device)
    assert "no-store" in answer["Cache-Control"]
    for path in (url("apikey"), url("apikey", record.pk, "change"), url("apikey", record.pk, "history"), "/admin/"):
        assert plain.partition(".")[2] not in text(admin_client.get(path))


def test_a_key_is_neither_changed_nor_deleted(admin_client):
    key = create_key("bike")[1]
    admin_client.post(url("apikey", key.pk, "change"), {"name": "other", "hash": "0"})
    assert admin_client.post(url("apikey", key.pk, "delete"), {"post": "yes"}).status_code == 403
    assert ApiKey.objects.get().name == "bike"


def revoke(client, key, **fields):
    return client.post(url("apikey"), {"action": "revoke", "_selected_action": [key.pk]} | fields, follow=True)


def test_a_key_is_revoked_after_a_question(admin_client):
    key = create_key("bike")[1]
    assert "That cannot be taken back" in text(revoke(admin_client, key))
    assert ApiKey.objects.get().revoked_at is None
    assert "1 key is revoked." in text(revoke(admin_client, key, confirmed="yes"))
    assert ApiKey.objects.get().revoked_at


def test_only_who_may_add_keys_may_make_one(staff):
    client = staff("players.change_apikey")
    assert client.get(url("apikey", "add")).status_code == 403
    assert client.post(url("apikey", "add"), {"name": "x"}).status_code == 403
    assert not ApiKey.objects.exists()


def test_only_who_may_change_keys_may_revoke_one(staff):
    key = create_key("bike")[1]
    revoke(staff("players.add_apikey"), key, confirmed="yes")
    assert ApiKey.objects.get().revoked_at is None


def test_who_may_change_keys_may_revoke_one(staff):
    key = create_key("bike")[1]
    revoke(staff("players.change_apikey"), key, confirmed="yes")
    assert ApiKey.objects.get().revoked_at
