"""The decision about one id and about all of them: what holds for any ballots whatever."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrity.repairs.relink.verdict import (
    AMBIGUOUS,
    CONTRADICTED,
    NO_CANDIDATE,
    RELINKED,
    REUSED,
    Ballot,
    Verdict,
    Voice,
    decide,
    settled,
)

VOICES = (Voice("mapping"), Voice("shift"), Voice("named", alone=2), Voice("owned", alone=0))
IDS = st.integers(1, 4)
STEPS = st.integers(0, 3)


@st.composite
def ballots(draw):
    candidates = draw(st.lists(IDS, unique=True, max_size=3))
    preferred = draw(st.lists(st.sampled_from(candidates), unique=True)) if candidates else []
    groups = [draw(st.sampled_from(["a", "b"])) for _ in candidates]
    return Ballot(
        draw(STEPS), draw(st.integers(0, 5)), tuple(candidates), tuple(preferred), tuple(groups), draw(st.booleans())
    )


PAPERS = st.lists(ballots(), max_size=8)
MARGINS = st.integers(1, 4)


def verdict(papers, margin=3, voices=VOICES, **options):
    return decide(9, papers, voices, margin=margin, **options)


def said(*candidates, step=0, witnesses=1, **options):
    return Ballot(step, witnesses, candidates, **options)


# What holds for any ballots


@given(PAPERS, MARGINS, st.randoms())
def test_the_order_of_the_ballots_does_not_matter(papers, margin, random):
    shuffled = list(papers)
    random.shuffle(shuffled)
    assert verdict(shuffled, margin) == verdict(papers, margin)


@given(PAPERS, MARGINS)
def test_a_relinked_row_was_listed_and_no_step_that_spoke_was_overruled(papers, margin):
    found = verdict(papers, margin)
    assert (found.outcome == RELINKED) == (found.new is not None)
    if found.outcome == RELINKED:
        assert any(found.new in paper.candidates for paper in papers if paper.witnesses)
        firm = [replace(paper, preferred=()) for paper in papers if paper.witnesses]
        for step in {paper.step for paper in firm}:
            alone = verdict([paper for paper in firm if paper.step == step], margin)
            assert alone.outcome in (AMBIGUOUS, RELINKED)
            assert alone.new in (None, found.new)


@given(PAPERS, st.lists(ballots(), min_size=1, max_size=3), MARGINS)
def test_one_more_step_never_leads_elsewhere_but_where_a_preference_had_decided(papers, more, margin):
    papers = [replace(paper, preferred=()) for paper in papers]
    voices = (*VOICES, Voice("more"))
    before = verdict(papers, margin, voices)
    after = verdict([*papers, *(replace(paper, step=4, preferred=()) for paper in more)], margin, voices)
    if before.outcome == RELINKED:
        assert after.new in (None, before.new)


@given(PAPERS, MARGINS, st.integers(2, 5))
def test_as_many_times_the_witnesses_say_the_same(papers, margin, times):
    voices = [replace(voice, alone=min(voice.alone, 1)) for voice in VOICES]
    many = [replace(paper, witnesses=paper.witnesses * times) for paper in papers]
    once, often = verdict(papers, margin, voices), verdict(many, margin, voices)
    assert (once.outcome, once.new, once.by) == (often.outcome, often.new, often.by)


@given(PAPERS, MARGINS)
def test_an_id_that_is_in_use_again_is_never_relinked(papers, margin):
    assert verdict(papers, margin, reused=True).outcome == REUSED


@given(PAPERS, MARGINS)
def test_remarks_change_nothing(papers, margin):
    counted = [paper for paper in papers if paper.witnesses]
    found, without = verdict(papers, margin), verdict(counted, margin)
    assert (found.outcome, found.new, found.candidates) == (without.outcome, without.new, without.candidates)


VERDICTS = st.lists(
    st.builds(
        lambda old, new, reused: Verdict(old, REUSED) if reused else Verdict(old, RELINKED if new else AMBIGUOUS, new),
        st.integers(1, 8),
        st.integers(0, 8).map(lambda new: new or None),
        st.booleans(),
    ),
    unique_by=lambda found: found.old,
)


@given(VERDICTS, st.dictionaries(IDS, st.sets(IDS, min_size=1)))
def test_no_two_ids_lead_to_one_row_and_none_to_one_that_was_exchanged(verdicts, taken):
    found = [v for v in settled(verdicts, taken=taken) if v.outcome == RELINKED]
    assert len({v.new for v in found}) == len(found)
    assert not {v.new for v in found} & {v.old for v in verdicts if v.outcome == REUSED}
    assert all(taken.get(v.new, {v.old}) == {v.old} for v in found)


@given(VERDICTS, st.randoms())
def test_both_of_two_that_collide_are_refused_whatever_their_order(verdicts, random):
    shuffled = list(verdicts)
    random.shuffle(shuffled)
    assert {v.old: v for v in settled(shuffled)} == {v.old: v for v in settled(verdicts)}


# What it is for


@pytest.mark.parametrize(
    ("papers", "outcome", "new", "by"),
    [
        ([], NO_CANDIDATE, None, ""),
        ([said(1)], RELINKED, 1, "mapping"),
        ([said()], NO_CANDIDATE, None, ""),
        ([said(), said(1, step=1)], CONTRADICTED, None, ""),
        ([said(1), said(2, step=1)], CONTRADICTED, None, ""),
        ([said(1, 2)], AMBIGUOUS, None, ""),
        ([said(1, 2), said(2, 3, step=1)], RELINKED, 2, "mapping + shift"),
        ([said(1, 2), said(2, step=1)], RELINKED, 2, "shift"),
        ([said(1, step=2)], AMBIGUOUS, None, ""),
        ([said(1, step=2, witnesses=2)], RELINKED, 1, "named"),
        ([said(1, step=3, witnesses=9)], AMBIGUOUS, None, ""),
        ([said(1, step=2), said(1, step=3)], RELINKED, 1, "named"),
        ([said(1, witnesses=3), said(2)], RELINKED, 1, "mapping"),
        ([said(1, witnesses=2), said(2)], AMBIGUOUS, None, ""),
        ([said(1, open=True)], AMBIGUOUS, None, ""),
        ([said(open=True), said(1, step=1)], CONTRADICTED, None, ""),
        ([said(1, open=True), said(1, step=1)], RELINKED, 1, "shift"),
        ([said(1, 2, preferred=(2,), groups=("a", "a"))], RELINKED, 2, "mapping"),
        ([said(1, 2, preferred=(2,), groups=("a", "b"))], AMBIGUOUS, None, ""),
        ([said(1, 2, preferred=(1, 2))], AMBIGUOUS, None, ""),
        ([said(1, 2, preferred=(2,)), said(1, step=1)], RELINKED, 1, "shift"),
        ([said(1, 2, preferred=(2,)), said(1, 2, step=1, preferred=(1,))], AMBIGUOUS, None, ""),
    ],
)
def test_what_is_decided(papers, outcome, new, by):
    found = verdict(papers)
    assert (found.outcome, found.new, found.by) == (outcome, new, by)


def test_rows_that_were_led_to_a_row_before_keep_others_from_it():
    (found,) = settled([Verdict(5, RELINKED, 1, why="named")], taken={1: {4}})
    assert (found.outcome, found.why) == (CONTRADICTED, "4 would lead to 1 too; named")


def test_a_merge_may_lead_several_ids_to_one_row():
    found = settled([Verdict(5, RELINKED, 1), Verdict(6, RELINKED, 1)], taken={1: {4}}, merge=True)
    assert {v.outcome for v in found} == {RELINKED}
