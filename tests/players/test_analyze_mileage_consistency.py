"""manage.py analyze_mileage_consistency: each option changes what it does, and every answer has its exit code."""

import csv
import io

import pytest

from integrity.models import Change, Run
from players.models import HourlyMetric
from tests.command_line import manage, on_screen, process
from tests.integrity.helpers import contents
from tests.players.factories import make_group, make_player

pytestmark = pytest.mark.django_db

ADDS_UP = "players.mileage_adds_up"
RECALCULATE = ("--strategy", "recalculate_from_player")


def analyzed(*words):
    return manage("analyze_mileage_consistency", *words)


def in_json(*words):
    """The object, and the part about players."""
    answer = analyzed(*words, "--format", "json").json
    return answer, next(rule for rule in answer["rules"] if rule["rule"] == ADDS_UP)


def km_of(player):
    return list(player.hourly_metrics.order_by("hour").values_list("distance_km", flat=True))


# Looking


def test_what_adds_up_exits_with_0():
    make_player(rides=[4, 6], open=[2, 1])
    assert analyzed().code == 0


@pytest.mark.parametrize("stored", [8, 16], ids=["MORE", "LESS"])
def test_a_mismatch_exits_with_1_and_writes_nothing(stored):
    make_player(stored=stored, rides=[4, 6], open=[2, 1])
    before = contents()
    assert (analyzed().code, contents()) == (1, before)


def test_a_wrong_group_alone_exits_with_1():
    make_group(total=3)
    assert analyzed().code == 1


def test_a_line_shows_player_master_history_in_flight_difference_and_direction():
    player = make_player(stored=16, rides=[4, 6], open=[2, 1])
    assert f"{player.pk} {player} 16.00000 10.00000 1.00000 -5.00000 LESS" in analyzed().words


def test_the_rows_most_likely_at_fault_are_shown():
    make_player(stored=8, rides=[4, 6])
    assert "2026-03-02 09:00 UTC 6.00000" in analyzed().words


def test_a_player_without_suspects_is_shown_all_the_same():
    make_player(stored=5)
    assert "-5.00000 LESS" in analyzed().words


def test_a_wrong_group_is_shown_with_both_totals():
    group = make_group("Class 5b", total=3)
    assert f"{group.pk} Class 5b 3.00000 0.00000 +3.00000 MORE" in analyzed().words


def test_the_answer_says_how_to_see_a_repair():
    make_player(stored=8, rides=[4, 6])
    assert "manage.py analyze_mileage_consistency --fix --dry-run" in analyzed().words


def test_json_has_decimals_and_hours_as_text():
    player = make_player("16", rides=[4, 6], open=[2, 1])
    answer, players = in_json()
    (found,) = players["sample"]
    assert (answer["verb"], answer["status"], players["violations"]) == ("analyze", "violated", 1)
    assert found["evidence"] == {
        "player": str(player),
        "history": "10.00000",
        "in_flight": "1.00000",
        "difference": "-5.00000",
        "direction": "LESS",
        "suspects": [
            {
                "hour": "2026-03-02T09:00:00+00:00",
                "device": None,
                "distance_km": None,
                "why": "distance is missing here",
            }
        ],
    }


def test_csv_has_a_line_for_each_mismatch():
    player = make_player(stored=8, rides=[4, 6])
    group = make_group(total=3)
    lines = list(csv.DictReader(io.StringIO(analyzed("--format", "csv").out)))
    assert [line["key"] for line in lines] == [f'{{"id": {player.pk}}}', f'{{"id": {group.pk}}}']


def test_a_pipe_has_neither_colour_nor_bar():
    make_player(stored=8, rides=[4, 6])
    done = analyzed()
    assert ("\x1b" in done.out, "━" in done.out, done.err) == (False, False, "")


@pytest.mark.django_db(transaction=True)
def test_it_ends_a_process_with_its_exit_code_and_nothing_on_stderr():
    make_player(stored=8, rides=[4, 6])
    done = process("analyze_mileage_consistency", "--format", "json")
    assert (done.code, done.err, done.json["status"]) == (1, "", "violated")


# Options


def test_limit_shortens_the_list_and_not_the_count():
    for _ in range(3):
        make_player(stored=8, rides=[4, 6])
    _, players = in_json("--limit", 2)
    assert (len(players["sample"]), players["violations"]) == (2, 3)


def test_player_id_looks_at_one_player():
    make_player(stored=8, rides=[4, 6])
    player = make_player(stored=8, rides=[4, 6])
    _, players = in_json("--player-id", player.pk)
    assert (players["checked"], [found["key"]["id"] for found in players["sample"]]) == (1, [player.pk])


def test_threshold_limits_the_list_and_not_the_exit_code():
    make_player(stored=10, rides=["10.5"])
    done = analyzed("--threshold", 1)
    assert (done.code, "LESS" in done.out, "MORE" in done.out) == (1, False, False)
    assert "Not listed: 1 with a difference of up to 1 km." in done.words


def test_the_default_threshold_is_a_metre():
    make_player(stored=10, rides=["10.001"])
    large = make_player(stored=10, rides=["10.00101"])
    assert [found["key"]["id"] for found in in_json()[1]["sample"]] == [large.pk]


def test_fix_alone_deletes_the_newest_surplus():
    player = make_player(stored=8, rides=[4, 6])
    assert analyzed("--fix").code == 0
    assert km_of(player) == [4, 4]


def test_fix_alone_leaves_what_is_less_and_exits_with_1():
    player = make_player(stored=16, rides=[4, 6])
    done = analyzed("--fix")
    assert (done.code, km_of(player)) == (1, [4, 6])
    assert "takes --strategy recalculate_from_player" in done.words


def test_strategy_recalculates_from_the_player():
    player = make_player(stored=16, rides=[4, 6])
    assert analyzed("--fix", *RECALCULATE).code == 0
    assert sum(km_of(player)) == 16


def test_the_first_strategy_may_be_named():
    player = make_player(stored=8, rides=[4, 6])
    assert analyzed("--fix", "--strategy", "delete_extra_metrics").code == 0
    assert km_of(player) == [4, 4]


@pytest.mark.parametrize("strategy", [(), RECALCULATE], ids=["delete", "recalculate"])
def test_oldest_first_removes_the_oldest(strategy):
    player = make_player(stored=8, rides=[4, 6])
    analyzed("--fix", "--oldest-first", *strategy)
    assert km_of(player) == [2, 6]


def test_dry_run_shows_the_plan_exits_with_1_and_writes_nothing():
    make_player(stored=8, rides=[4, 6])
    before = contents()
    done = analyzed("--fix", "--dry-run")
    assert (done.code, contents(), Change.objects.count()) == (1, before, 0)
    assert "1 row would change; nothing was written." in done.words


def test_player_id_fixes_one_player():
    left, player = make_player(stored=8, rides=[4, 6]), make_player(stored=8, rides=[4, 6])
    analyzed("--fix", "--player-id", player.pk)
    assert (km_of(left), km_of(player)) == ([4, 6], [4, 4])


def test_threshold_limits_the_fix_and_not_the_exit_code():
    small, large = make_player(stored=10, rides=["10.5"]), make_player(stored=10, rides=[12])
    assert analyzed("--fix", "--threshold", 1).code == 1
    assert (sum(km_of(small)), sum(km_of(large))) == (10.5, 10)


def test_reason_stands_in_the_records():
    make_player(stored=8, rides=[4, 6])
    analyzed("--fix", "--reason", "counted twice")
    assert Run.objects.get().reason == "counted twice"


def test_max_affected_stops_a_larger_fix():
    for _ in range(3):
        make_player(stored=8, rides=[4, 6])
    before = contents(HourlyMetric)
    done = analyzed("--fix", "--max-affected", 2, "--yes")
    assert (done.code, contents(HourlyMetric)) == (3, before)


def test_max_affected_lets_a_fix_through():
    for _ in range(3):
        make_player(stored=8, rides=[4, 6])
    assert analyzed("--fix", "--max-affected", "100%", "--yes").code == 0


def test_max_affected_needs_yes_where_nobody_can_be_asked():
    make_player(stored=8, rides=[4, 6])
    done = analyzed("--fix", "--max-affected", "100%")
    assert (done.code, Run.objects.count()) == (2, 0)
    assert done.err == "--max-affected opens the brake: without a terminal to ask on, add --yes.\n"


def test_a_fix_in_json_tells_what_it_wrote():
    make_player(stored=8, rides=[4, 6], groups=[make_group(total=1)])
    answer, players = in_json("--fix")
    assert (answer["verb"], answer["status"], answer["changes"]) == ("repair", "clean", 2)
    assert [(row["op"], row["new"]) for row in players["planned"]] == [("update", {"distance_km": "4.00000"})]


def test_a_fix_can_be_undone_as_its_answer_says():
    make_player(stored=8, rides=[4, 6])
    before = contents()
    said = analyzed("--fix").words
    words = said.partition("To take it back: manage.py ")[2].split()[:3]
    assert (manage(*words).code, contents()) == (0, before)


# Asking


def test_on_a_terminal_a_fix_shows_its_plan_and_asks():
    player = make_player(stored=8, rides=[4, 6])
    done = on_screen("analyze_mileage_consistency", "--fix", answer="n\n")
    assert (done.code, km_of(player)) == (1, [4, 6])
    assert done.out.endswith("Write 1 row? [y/N] Nothing was written.\n")


def test_a_fix_that_was_agreed_to_is_written():
    player = make_player(stored=8, rides=[4, 6])
    assert on_screen("analyze_mileage_consistency", "--fix", answer="y\n").code == 0
    assert km_of(player) == [4, 4]


@pytest.mark.parametrize("columns", [80, 100])
def test_every_table_fits_the_terminal(columns):
    make_player(stored=8, rides=[4, 6], open=[2, 1])
    make_player(stored=16, rides=[4, 6], groups=[make_group("Class 5b of the school by the river")])
    said = on_screen("analyze_mileage_consistency", "--no-color", columns=columns).out
    tables = [line for line in said.splitlines() if line.startswith(("id", " ", "─", "rule"))]
    assert max(map(len, tables)) <= columns


# What cannot be asked


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--player-id", "77"), "--player-id 77: there is no such player."),
        (("--fix", "--player-id", "77"), "--player-id 77: there is no such player."),
        (
            ("--fix", "--strategy", "x"),
            "--strategy 'x' is unknown. Known: delete_extra_metrics, recalculate_from_player.",
        ),
        (("--fix", "--max-affected", "x", "--yes"), "--max-affected 'x' is neither a share such as 30% nor"),
        (RECALCULATE, "--strategy says how to repair: add --fix, or leave it out to look only."),
        (("--oldest-first",), "--oldest-first says how to repair: add --fix"),
        (("--dry-run",), "--dry-run says how to repair: add --fix"),
        (("--yes",), "--yes says how to repair: add --fix"),
        (("--reason", "x"), "--reason says how to repair: add --fix"),
        (("--max-affected", "5"), "--max-affected says how to repair: add --fix"),
        (("--dry-run", "--yes"), "--dry-run, --yes says how to repair: add --fix"),
    ],
    ids=lambda held: " ".join(held) if isinstance(held, tuple) else "",
)
def test_what_cannot_be_asked_is_said_in_one_sentence_and_nothing_is_done(words, sentence):
    make_player(stored=8, rides=[4, 6])
    before = contents()
    done = analyzed(*words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(sentence)
    assert (contents(), Run.objects.count()) == (before, 0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--threshold", "-1"), "argument --threshold: '-1' is not a distance in km from 0 on"),
        (("--threshold", "NaN"), "argument --threshold: 'NaN' is not a distance in km from 0 on"),
        (("--threshold", "far"), "argument --threshold: 'far' is not a distance in km from 0 on"),
        (("--player-id", "x"), "argument --player-id: invalid int value: 'x'"),
        (("--format", "xml"), "argument --format: invalid choice: 'xml'"),
        (("--fixx",), "unrecognized arguments: --fixx"),
    ],
)
def test_what_cannot_be_read_is_named(words, sentence):
    done = analyzed(*words)
    assert (done.code, done.out) == (2, "")
    assert f"error: {sentence}" in done.err


def test_a_refusal_in_json_is_one_object():
    answer = analyzed("--player-id", 77, "--format", "json")
    assert (answer.code, answer.json["status"], answer.json["verb"]) == (2, "refused", "analyze")
    assert answer.json["error"] == "--player-id 77: there is no such player."


def test_help_shows_an_example_that_runs():
    make_player(stored=8, rides=[4, 6])
    said = analyzed("--help").out
    example = said.partition("Example: manage.py ")[2].partition("\n")[0]
    assert manage(*example.split()).code == 1
