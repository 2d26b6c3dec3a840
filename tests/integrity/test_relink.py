"""Relink: 15 references to two teams that an import gave new ids, and the near misses that are left alone."""

import pytest

from integrity import Shift
from integrity.repair import repair
from integrity.undo import undo
from tests.integrity import teams
from tests.integrity.teams import (
    NEW_2B,
    NEW_22,
    OLD_2B,
    OLD_22,
    links,
    make_key,
    make_message,
    make_moved,
    make_person,
    make_poll,
    make_team,
    outcomes,
    relinked,
    why,
)
from tests.toy import teams as toy

pytestmark = pytest.mark.django_db


@pytest.fixture
def story():
    """Two polls and 13 messages refer to two teams that the nightly import brought again under other ids."""
    second, first = make_team(NEW_2B, "Series 2B"), make_team(NEW_22, "Series 22")
    make_moved(931, 87100, 87120, 87150, 87200, 87250)
    captain = make_person(second)
    polls = [make_poll(OLD_2B, author=captain), make_poll(OLD_22, "Series 22: who plays on Friday?")]
    messages = [make_message(OLD_2B, f"Series 2B, week {week}") for week in range(3)]
    messages += [make_message(OLD_2B, f"Court {week + 3} today", captain) for week in range(4)]
    messages += [make_message(OLD_22, None) for _ in range(6)]
    return first, second, polls, messages


def test_all_fifteen_references_are_relinked_to_their_teams(story):
    _, _, polls, messages = story
    report = relinked()
    assert (report.status, report.changes) == ("clean", 15)
    assert links(*polls) == [NEW_2B, NEW_22]
    assert links(*messages) == [NEW_2B] * 7 + [NEW_22] * 6


def test_nothing_remains_and_a_second_repair_writes_nothing(story):
    relinked()
    again = relinked()
    assert (again.status, again.changes, outcomes(again)) == ("clean", 0, {})


def test_a_dry_run_counts_what_each_step_would_relink_and_writes_nothing(story):
    report = relinked(dry_run=True)
    assert outcomes(report) == {"relinked by shift": 15}
    assert outcomes(relinked(*teams.everything()[2:], dry_run=True)) == {"relinked by named": 15}
    assert set(toy.Message.objects.values_list("team_id", flat=True)) == {OLD_2B, OLD_22}


def test_each_change_carries_its_evidence_in_words(story):
    report = relinked(dry_run=True)
    told = {change.old["team_id"]: change.evidence["why"] for change in report.rules[0].planned}
    assert told[OLD_2B] == (
        "shift: id shift +931 proven by 6 others; named: 'Series 2B' named in 3 rows;"
        " owned: 1 owner with this row alone"
    )
    assert "id shift +931 proven by 6 others" in told[OLD_22]


def test_an_undo_points_everything_back(story):
    _, _, polls, messages = story
    with teams.known() as rules:
        run = repair([(rule, "relink") for rule in rules]).run
        assert undo(run).status == "clean"
    assert links(*polls, *messages) == [OLD_2B, OLD_22] + [OLD_2B] * 7 + [OLD_22] * 6


# What must be left alone


def left(report, *rows):
    """True when nothing was written, and everything was reported."""
    return report.changes == 0 and all(row.team_id == old for row, old in zip(rows, links(*rows), strict=True))


def test_two_candidates_are_ambiguous():
    make_team(1, "Series 22", town="Tennaqua"), make_team(2, "Series 22", town="Winnetka")
    message = make_message(OLD_22, "Series 22 tonight")
    report = relinked()
    assert (left(report, message), outcomes(report)) == (True, {"ambiguous": 1})
    assert [c["id"] for c in report.rules[1].undecided[0].candidates] == [1, 2]


def test_a_shift_that_too_few_show_is_not_proven():
    make_team(NEW_22, "Series 22")
    make_moved(931, 87100, 87120, 87200, 87250)
    message = make_message(OLD_22)
    report = relinked()
    assert (left(report, message), outcomes(report)) == (True, {"no candidate": 1})
    assert why(report, OLD_22) == "shift: +931 is shown by 4 others and needs 5"


def test_a_shift_that_one_pair_contradicts_is_not_proven():
    make_team(NEW_22, "Series 22")
    make_moved(931, 87100, 87120, 87150, 87200, 87250)
    make_moved(940, 87260)
    message = make_message(OLD_22)
    report = relinked()
    assert left(report, message)
    assert why(report, OLD_22) == "shift: no one shift: +931 fits 5 of 6 known ids"


def test_a_shift_is_not_proven_beyond_the_ids_that_show_it():
    make_team(87300 + 931, "Series 22")
    make_moved(931, 87100, 87120, 87150, 87200, 87250)
    message = make_message(87300)
    assert left(relinked(), message)
    assert relinked(Shift(at_least=5, reach=100), teams.mapping()).changes == 1


def test_where_no_row_is_at_the_shifted_id_another_step_is_contradicted():
    other = make_team(5, "Series 7")
    make_moved(931, 87100, 87120, 87150, 87200, 87250)
    message = make_message(OLD_22, captain=make_person(other))
    report = relinked()
    assert (left(report, message), outcomes(report)) == (True, {"contradicted": 1})
    assert "id shift +931 proven by 5 others, and 88100 is not there" in why(report, OLD_22)


@pytest.mark.parametrize(
    "text", ["See you in 2022", "Court 122", "at 22:00", "on 22/05", "won 6-22", "for $22", "22nd of May", "a 22B"]
)
def test_22_stands_in_no_other_number(text):
    make_team(1, "22")
    message = make_message(OLD_22, text)
    assert left(relinked(), message)


@pytest.mark.parametrize("text", ["22", "(22)", "Team 22, tonight", "play as 22.", "22/2B?", "#22!", "teams 22 & 7"])
def test_22_stands_on_its_own(text):
    make_team(1, "22")
    message = make_message(OLD_22, text)
    relinked()
    assert links(message) == [1]


def test_2b_does_not_stand_in_12b():
    make_team(1, "Series 2B")
    message = make_message(OLD_2B, "Series 12B and 2BC")
    assert left(relinked(), message)


def test_the_longest_name_is_the_one_that_is_meant():
    make_team(1, "Series 2"), make_team(2, "Series 22"), make_team(3, "Series 2 Gold")
    messages = [make_message(10, "We are Series 22"), make_message(20, "Go, series 2 gold, go")]
    relinked()
    assert links(*messages) == [2, 3]


def test_names_are_found_whatever_their_case_and_accents():
    make_team(1, "Evanston Élite")
    message = make_message(10, "ÉVANSTON\u2014elite, tomorrow")
    relinked()
    assert links(message) == [1]


def test_a_text_that_names_two_series_is_ambiguous():
    make_team(1, "Series 2B"), make_team(2, "Series 22")
    message = make_message(OLD_22, "Series 22 against Series 2B")
    report = relinked()
    assert (left(report, message), outcomes(report)) == (True, {"ambiguous": 1})


def test_a_name_that_no_team_has_any_more_says_that_the_team_is_gone():
    make_team(1, "Series 2B")
    toy.Series.objects.create(name="Series 9")
    message = make_message(10, "Series 9, bring balls", captain=make_person(toy.Team.objects.get()))
    report = relinked()
    assert (left(report, message), outcomes(report)) == (True, {"contradicted": 1})


def test_what_narrows_alone_names_nothing():
    make_team(1, "Series 2B", town="Tennaqua")
    message = make_message(10, "See you at Tennaqua")
    assert left(relinked(), message)


def test_a_name_that_narrows_tells_between_teams_of_one_series():
    make_team(1, "Series 2B", town="Tennaqua"), make_team(2, "Series 2B", town="Winnetka")
    message = make_message(10, "Series 2B at Winnetka")
    relinked()
    assert links(message) == [2]


def test_ids_that_would_go_to_one_team_are_both_refused():
    make_team(1, "Series 2B")
    messages = [make_message(10, "Series 2B"), make_message(20, "Series 2B")]
    report = relinked()
    assert (left(report, *messages), outcomes(report)) == (True, {"contradicted": 2})
    assert why(report, 10).startswith("20 would lead to 1 too")


def test_a_declared_merge_lets_several_ids_become_one_team():
    make_team(1, "Series 2B")
    messages = [make_message(10, "Series 2B"), make_message(20, "Series 2B")]
    assert relinked(merge=True).changes == 2
    assert links(*messages) == [1, 1]


def test_an_id_that_would_go_where_an_earlier_run_led_another_is_refused():
    make_team(1, "Series 2B")
    make_message(10, "Series 2B")
    relinked()
    later = make_message(20, "Series 2B")
    report = relinked()
    assert (left(report, later), why(report, 20).startswith("10 would lead to 1 too")) == (True, True)


def test_ids_that_are_those_of_other_rows_now_are_suspects_and_stay():
    """A swap: each of two ids is that of the other team now, and a mapping would lead both somewhere."""
    first, second = make_team(10, "Series 2B", league="APTA"), make_team(20, "Series 22", league="NSTF")
    make_key(10, "Series 22", league="NSTF"), make_key(20, "Series 2B", league="APTA")
    practices = [
        toy.Practice.objects.create(team_id=10, league=second.league),
        toy.Practice.objects.create(team_id=20, league=first.league),
    ]
    report = relinked(practice=True)
    assert (left(report, *practices), outcomes(report)) == (True, {"reused": 2})
    assert [c["id"] for rule in report.rules for u in rule.undecided for c in u.candidates] == [20, 10]


def test_an_id_that_would_go_to_one_that_was_exchanged_is_refused():
    make_team(20, "Series 22", league="NSTF")
    make_key(10, "Series 22", league="NSTF")
    toy.Practice.objects.create(team_id=20, league=toy.League.objects.create(code="APTA"))
    message = make_message(10)
    report = relinked(practice=True)
    assert left(report, message)
    assert why(report, 10).startswith("20 is itself referred to by rows that meant another one")


def test_an_owner_with_teams_in_two_leagues_is_ambiguous():
    teams_ = make_team(1, "Series 2B", league="APTA"), make_team(2, "Series 22", league="NSTF")
    poll = make_poll(10, author=make_person(*teams_, primary=teams_[0]))
    report = relinked()
    assert (left(report, poll), outcomes(report)) == (True, {"ambiguous": 1})


def test_another_step_tells_which_league_of_an_owner_is_meant():
    teams_ = make_team(1, "Series 2B", league="APTA"), make_team(2, "Series 22", league="NSTF")
    poll = make_poll(10, "Match of the NSTF", author=make_person(*teams_, primary=teams_[0]))
    relinked()
    assert links(poll) == [2]


def test_a_row_that_knows_its_league_is_for_a_team_of_that_league():
    teams_ = make_team(1, "Series 2B", league="APTA"), make_team(2, "Series 22", league="NSTF")
    practice = toy.Practice.objects.create(team_id=10, league=teams_[1].league, captain=make_person(*teams_))
    relinked(practice=True)
    assert links(practice) == [2]


def test_the_primary_team_of_an_owner_comes_first_in_its_league():
    teams_ = make_team(1, "Series 2B"), make_team(2, "Series 22")
    poll = make_poll(10, author=make_person(*teams_, primary=teams_[1]))
    relinked()
    assert links(poll) == [2]


def test_a_text_may_mean_another_team_of_its_owner_than_the_primary_one():
    teams_ = make_team(1, "Series 2B"), make_team(2, "Series 22")
    poll = make_poll(10, "Series 22", author=make_person(*teams_, primary=teams_[0]))
    relinked()
    assert links(poll) == [2]


def test_steps_that_contradict_each_other_are_reported():
    make_team(1, "Series 2B"), make_team(2, "Series 22")
    make_key(10, "Series 22")
    message = make_message(10, "Series 2B")
    report = relinked()
    assert (left(report, message), outcomes(report)) == (True, {"contradicted": 1})
    assert why(report, 10) == "mapping: Tennaqua, Series 22, APTA; named: 'Series 2B' named in 1 row"


def test_a_mapping_to_a_team_that_is_gone_relinks_nothing():
    make_team(1, "Series 2B")
    make_key(10, "Series 9")
    message = make_message(10)
    report = relinked()
    assert (left(report, message), outcomes(report)) == (True, {"no candidate": 1})
    assert why(report, 10) == "mapping: Tennaqua, Series 9, APTA, which is there no more"


def test_an_id_with_two_natural_keys_is_ambiguous():
    make_team(1, "Series 2B"), make_team(2, "Series 22")
    make_key(10, "Series 2B"), make_key(10, "Series 22")
    message = make_message(10)
    report = relinked()
    assert (left(report, message), outcomes(report)) == (True, {"ambiguous": 1})


def test_a_natural_key_that_two_teams_have_picks_neither():
    make_team(1, "Series 2B"), make_team(2, "Series 2B")
    make_key(10, "Series 2B")
    assert outcomes(relinked(make_message(10) and teams.mapping())) == {"ambiguous": 1}


def test_a_null_in_a_natural_key_matches_nothing():
    make_team(1, "Series 2B")
    make_key(10, "Series 2B", town=None)
    make_message(10)
    assert outcomes(relinked()) == {"no candidate": 1}


def test_a_step_that_may_not_decide_alone_needs_another():
    make_team(1, "Series 2B")
    poll = make_poll(10, "Series 2B")
    report = relinked(teams.named(alone=False), teams.owned())
    assert (left(report, poll), outcomes(report)) == (True, {"ambiguous": 1})
    toy.Poll.objects.update(author=make_person(toy.Team.objects.get()))
    assert relinked(teams.named(alone=False), teams.owned()).changes == 1


def test_a_team_must_agree_with_the_rows_that_would_lead_to_it():
    make_team(1, "Series 2B", league="APTA")
    make_key(10, "Series 2B", league="APTA")
    practice = toy.Practice.objects.create(team_id=10, league=toy.League.objects.create(code="NSTF"))
    report = relinked(practice=True)
    assert (left(report, practice), outcomes(report)) == (True, {"contradicted": 1})


def test_many_witnesses_outweigh_one_and_not_two_of_three():
    make_team(1, "Series 2B"), make_team(2, "Series 22")
    for text in ["Series 2B", "Series 2B", "Series 22"]:
        make_message(10, text)
    assert outcomes(relinked()) == {"ambiguous": 3}
    make_message(10, "Series 2B")
    assert outcomes(relinked()) == {"relinked by named": 4}


def make_named(shift, *olds):
    """Teams, and a message to each that names it."""
    for old in olds:
        make_team(old + shift, f"Series {old}")
        make_message(old, f"Series {old}")


def test_one_stray_must_be_outweighed_by_as_many_again():
    make_named(931, *range(87100, 87106))
    make_named(1, 87050)
    make_named(931, 87300)
    make_team(87200 + 931, "Series 22")
    message = make_message(87200)
    steps = [teams.named(), Shift(at_least=4)]
    assert "no one shift: +931 fits 7 of 8 known ids" in why(relinked(*steps, dry_run=True), 87200)
    make_named(931, 87301)
    relinked(*steps)
    assert links(message) == [87200 + 931]


def test_two_strays_that_moved_alike_disprove_a_shift():
    make_named(931, *range(87100, 87120))
    make_named(940, 87300, 87301)
    make_team(87200 + 931, "Series 22")
    make_message(87200)
    assert "no one shift" in why(relinked(teams.named(), Shift(at_least=2)), 87200)
