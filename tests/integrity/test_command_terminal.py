"""On a terminal a command shows colours, asks before it writes, and fits."""

import re

import pytest

from integrity.models import Run
from players.models import HourlyMetric
from tests.command_line import on_screen, on_terminal, process
from tests.integrity.helpers import contents
from tests.players.factories import make_group, make_player

pytestmark = pytest.mark.django_db
# Another process sees only what is committed.
in_processes = pytest.mark.django_db(transaction=True)

RULE = "players.mileage_adds_up"
REPAIR = ("integrity", "repair", RULE, "--strategy", "delete_extra_metrics")
QUESTION = "Write 1 row? [y/N] "
COLOUR = "\x1b[31m"


@pytest.fixture(autouse=True)
def surplus(request):
    request.getfixturevalue("transactional_db" if request.node.get_closest_marker("django_db").kwargs else "db")
    return make_player(stored=7, rides=[4, 6])


def total():
    return sum(HourlyMetric.objects.values_list("distance_km", flat=True))


def widest(said):
    """The longest line, without what a terminal does not show."""
    return max(len(line) for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said).splitlines())


# In a process of its own on a pseudo-terminal


@in_processes
@pytest.mark.parametrize("answer", ["\n", "\x04", "\x03"], ids=["enter", "end of file", "interrupt"])
def test_anything_but_yes_writes_nothing_and_exits_like_a_dry_run(answer):
    before = contents()
    done = on_terminal(*REPAIR, answer=answer)
    assert (done.code, contents()) == (1, before)
    assert ("Traceback" in done.out, Run.objects.filter(status="running").count()) == (False, 0)
    assert done.out.partition(QUESTION)[2].endswith("Nothing was written.\r\n")


@in_processes
def test_yes_writes():
    done = on_terminal(*REPAIR, answer="y\n")
    assert (done.code, total()) == (0, 7)


@in_processes
def test_off_a_terminal_the_verb_is_the_consent():
    done = process(*REPAIR)
    assert (done.code, total()) == (0, 7)
    assert ("\x1b" in done.out, "━" in done.out, done.err) == (False, False, "")


# On a screen


def test_a_repair_shows_its_plan_and_asks():
    plan, _, rest = on_screen(*REPAIR, answer="n\n").out.partition(QUESTION)
    assert "2026-03-02 09:00 UTC" in plan
    assert "1 row would change; nothing was written." in plan
    assert rest == "Nothing was written.\n"


def test_a_repair_that_was_agreed_to_says_what_it_wrote():
    done = on_screen(*REPAIR, answer="Yes\n")
    assert (done.code, total()) == (0, 7)
    assert "Changed: 1 row. To take it back: manage.py integrity undo" in done.words


def test_the_option_yes_does_not_ask():
    done = on_screen(*REPAIR, "--yes")
    assert (done.code, total(), QUESTION in done.out) == (0, 7, False)


@pytest.mark.parametrize("options", [["--dry-run"], ["--format", "json"]], ids=["dry run", "JSON"])
def test_what_asks_nobody(options):
    assert QUESTION not in on_screen(*REPAIR, *options).out


def test_a_plan_that_the_brake_would_stop_is_not_asked_about():
    make_player(stored=7, rides=[4, 6])
    done = on_screen(*REPAIR, "--max-affected", "1", answer="y\n")
    assert (done.code, total(), "[y/N]" in done.out) == (1, 20, False)
    assert "the brake would stop this" in done.words


def test_where_nothing_is_to_be_written_nobody_is_asked_and_what_is_left_counts():
    HourlyMetric.objects.all().delete()
    done = on_screen(*REPAIR)
    assert (done.code, "[y/N]" in done.out) == (1, False)


def test_undo_shows_its_plan_and_asks():
    on_screen(*REPAIR, "--yes")
    run = Run.objects.latest("pk").pk
    assert (on_screen("integrity", "undo", run, answer="n\n").code, total()) == (1, 7)
    assert (on_screen("integrity", "undo", run, answer="y\n").code, total()) == (0, 10)


def test_a_terminal_has_colour_and_a_bar_beside_the_report():
    done = on_screen("integrity", "analyze")
    assert COLOUR in done.out
    assert ("━" in done.out, "━" in done.err) == (False, True)


@pytest.mark.parametrize(
    ("options", "environment"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"})], ids=["--no-color", "NO_COLOR"]
)
def test_colour_can_be_refused(options, environment):
    assert COLOUR not in on_screen("integrity", "analyze", *options, **environment).out


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize(
    "words",
    [
        ("integrity", "analyze", "players"),
        ("integrity", "rules"),
        ("integrity", "runs"),
        ("integrity", "repair", RULE, "players.group_total_adds_up", *REPAIR[3:], "--dry-run"),
    ],
    ids=["analyze", "rules", "runs", "repair"],
)
def test_the_first_table_fits_the_terminal_and_keeps_names_in_one_piece(words, columns):
    make_group("Class 5b of the school by the river", total=3)
    on_screen("integrity", "analyze", RULE)
    said = on_screen(*words, columns=columns).out.partition("\n\n")[0]
    assert widest(said) <= columns
    assert all(label in said for label in words if "." in label)


def test_a_narrow_terminal_leaves_a_column_out_before_it_folds_a_name():
    said = on_screen("integrity", "analyze", "players", columns=80).out.partition("\n\n")[0]
    assert "players.flushed_is_part_of_session" in said
    assert ("violations" in said, "seconds" in said) == (True, False)
