"""Odoo's predictive lead scoring, against its own worked numbers and against the formula written out slowly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import DataError, UsageError
from training.evaluation.odoo import OdooLead, OdooScorer, OdooStage, leads_of

STAGES = (OdooStage("new", 1), OdooStage("qualified", 2), OdooStage("proposal", 3), OdooStage("won", 4, won=True))
FIELDS = ("source", "country", "email_state", "state", "phone_state")
NOTHING: dict[str, str | None] = dict.fromkeys(FIELDS)


def tooltip_leads() -> list[OdooLead]:
    """Two won and three lost leads whose counts are those of the method's worked example."""
    return [
        OdooLead({"source": "b", "country": "x", "state": "s", "phone_state": "p"}, "won", won=True),
        OdooLead({"country": "y", "state": "s", "phone_state": "p"}, "won", won=True),
        OdooLead({"source": "a", "country": "x", "state": "t", "phone_state": "p"}, "qualified", won=False),
        OdooLead({"source": "a", "phone_state": "q"}, "new", won=False),
        OdooLead({"phone_state": "q"}, "new", won=False),
    ]


ASKED = OdooLead({"source": "a", "country": "x", "state": "s", "phone_state": "p"}, "qualified")


def test_the_worked_example_gives_74_30_with_its_factors() -> None:
    scorer = OdooScorer(FIELDS, STAGES, with_stage=True).fit(tooltip_leads())
    scope = scorer._scope(None)
    assert scope.prior() == pytest.approx((2.1 / 5.2, 3.1 / 5.2))
    factors = {factor.field: (factor.won, factor.lost) for factor in scorer._factors(ASKED, scope)}
    assert factors == {
        "stage": pytest.approx((1, 1.1 / 3.1)),
        "source": pytest.approx((0.1 / 1.2, 2.1 / 2.2)),
        "country": pytest.approx((1.1 / 2.2, 1.1 / 1.2)),
        "email_state": pytest.approx((1, 1)),
        "state": pytest.approx((2.1 / 2.2, 0.1 / 1.2)),
        "phone_state": pytest.approx((2.1 / 2.2, 1.1 / 3.2)),
    }
    assert scorer.score(ASKED) == 74.30


def test_without_stage_only_the_stage_factor_is_gone() -> None:
    with_stage = OdooScorer(FIELDS, STAGES, with_stage=True).fit(tooltip_leads())
    without = OdooScorer(FIELDS, STAGES).fit(tooltip_leads())
    first = OdooLead(ASKED.fields, "new")
    assert without.score(ASKED) == with_stage.score(first)
    assert without.score(OdooLead(ASKED.fields)) == with_stage.score(first)
    assert without.score(ASKED) != with_stage.score(ASKED)


def test_one_won_lead_of_one_gives_91_67_for_its_value() -> None:
    leads = [OdooLead({"source": "fair"}, won=True), OdooLead({"source": "web"}, won=False)]
    scorer = OdooScorer(("source",)).fit(leads)
    assert scorer.score(OdooLead({"source": "fair"})) == 91.67


def test_a_lead_without_a_stage_scores_0_and_one_in_a_won_stage_100() -> None:
    scorer = OdooScorer(FIELDS, STAGES, with_stage=True).fit(tooltip_leads())
    assert scorer.score(OdooLead(NOTHING)) == 0
    assert scorer.score(OdooLead(NOTHING, "won")) == 100


def test_scores_never_reach_certainty() -> None:
    leads = [OdooLead({"a": f"{won}", "b": f"{won}"}, won=won) for won in (True, False) for _ in range(500)]
    scorer = OdooScorer(("a", "b")).fit(leads)
    assert scorer.score(OdooLead({"a": "True", "b": "True"})) == 99.99
    assert scorer.score(OdooLead({"a": "False", "b": "False"})) == 0.01


def test_before_anything_is_counted_there_is_no_score() -> None:
    scorer = OdooScorer(("source",))
    assert scorer.score(OdooLead({"source": "web"})) is None
    assert np.isnan(scorer.predict(pd.DataFrame({"source": ["web"]}))).all()


def test_a_tag_on_fewer_than_50_closed_leads_is_not_used() -> None:
    def score(tagged: int) -> float | None:
        leads = [OdooLead(tags=("hot",), won=True) for _ in range(tagged)]
        leads += [OdooLead(tags=("other",), won=i % 2 == 0) for i in range(100)]
        return OdooScorer(()).fit(leads).score(OdooLead(tags=("hot",)))

    rare, common = score(49), score(50)
    assert rare == pytest.approx(100 * 99.1 / (99.1 + 50.1), abs=0.005)
    assert common == pytest.approx(100 / (1 + (50.1 / 100.1) * (0.1 / 50.2) / (50.1 / 100.2)), abs=0.005)


def test_a_team_with_rows_is_scored_on_them_alone_and_others_on_all_together() -> None:
    leads = [OdooLead({"source": "web"}, team="east", won=i < 8) for i in range(10)]
    leads += [OdooLead({"source": "web"}, team="west", won=i < 1) for i in range(10)]
    scorer = OdooScorer(("source",)).fit(leads)
    east, west, none, new = (scorer.score(OdooLead({"source": "web"}, team=t)) for t in ("east", "west", None, "new"))
    assert east == 79.41  # 8.1 of 8.1 + 2.1
    assert west == pytest.approx(100 * 1.1 / 10.2, abs=0.005)
    assert none == new == pytest.approx(100 * 9.2 / (9.2 + 11.2), abs=0.005)


def test_a_teams_score_does_not_depend_on_which_team_was_scored_before() -> None:
    leads = [OdooLead(team="good", won=i < 49) for i in range(50)]
    leads += [OdooLead(team="bad", won=False) for _ in range(4)]
    scorer = OdooScorer(()).fit(leads)
    alone = scorer.score(OdooLead(team="bad"))
    scorer.score(OdooLead(team="good"))
    assert scorer.score(OdooLead(team="bad")) == alone == pytest.approx(100 * 0.1 / 4.2, abs=0.005)


def test_taking_back_a_closed_lead_restores_the_counts_but_for_the_floor() -> None:
    scorer = OdooScorer(FIELDS, STAGES, with_stage=True).fit(tooltip_leads())
    extra = OdooLead({"source": "a", "country": "x", "phone_state": "q"}, "qualified", won=False)
    scorer.update(extra)
    assert scorer.score(ASKED) != 74.30
    scorer.update(extra, closed=False)
    assert scorer.score(ASKED) == 74.30
    only = OdooLead({"source": "z"}, "new", won=True)
    scorer.update(only, closed=False)
    assert scorer._table["", "source", "z"] == [0.1, 0.1]


def test_reasons_are_the_strongest_three_on_each_side_and_none_is_absurd() -> None:
    scorer = OdooScorer(FIELDS, STAGES, with_stage=True).fit(tooltip_leads())
    reasons = scorer.reasons(ASKED)
    assert [(reason.side, reason.field) for reason in reasons] == [
        ("top", "state"),
        ("top", "phone_state"),
        ("top", "stage"),
        ("low", "source"),
        ("low", "country"),
    ]
    ratios = {reason.field: reason.ratio for reason in reasons}
    assert ratios["stage"] == pytest.approx(1 - 1.1 / 3.1)
    assert ratios["source"] == pytest.approx((0.1 / 1.2) / (0.1 / 1.2 + 2.1 / 2.2))

    silly = [OdooLead({"email_state": "incorrect"}, won=True), OdooLead({"email_state": "correct"}, won=False)]
    for value in ("incorrect", "correct"):
        scorer = OdooScorer(("email_state",)).fit(silly)
        assert scorer.reasons(OdooLead({"email_state": value})) == ()


def test_an_open_lead_an_unknown_stage_or_a_missing_column_is_refused() -> None:
    scorer = OdooScorer(("source",), STAGES, with_stage=True)
    with pytest.raises(DataError, match="open lead"):
        scorer.fit([OdooLead({"source": "web"}, "new")])
    with pytest.raises(DataError, match="'limbo' is not in the pipeline"):
        scorer.fit([OdooLead({"source": "web"}, "limbo", won=False)])
    with pytest.raises(DataError, match="lacks source"):
        scorer.fit(tooltip_leads()).predict(pd.DataFrame({"stage": ["new"]}))
    with pytest.raises(UsageError, match="all teams share"):
        OdooScorer((), (OdooStage("ours", 1, team="east"),))


Counts = dict[tuple[str, str], tuple[float, float]]


def slow_values(lead: OdooLead) -> list[tuple[str, str]]:
    pairs = [(name, lead.fields.get(name) or "") for name in FIELDS]
    kept = [(name, value) for name, value in pairs if value or name in ("email_state", "phone_state")]
    return kept + [("tag", tag) for tag in lead.tags]


def slow_counts(leads: list[OdooLead], team: str | None) -> Counts:
    """Count each team apart, smooth each team's row once, then take one team or add all up."""
    sequence = {stage.name: stage.sequence for stage in STAGES}
    seen: dict[tuple[str, str, str], list[bool]] = {}
    for lead in leads:
        reached = [stage.name for stage in STAGES if lead.won or stage.sequence <= sequence[str(lead.stage)]]
        for name, value in [("stage", stage) for stage in reached] + slow_values(lead):
            seen.setdefault((lead.team or "", name, value), []).append(bool(lead.won))
    if team not in {owner for owner, _, _ in seen if owner}:
        team = None
    total: Counts = {}
    for (owner, name, value), outcomes in seen.items():
        if team in (None, owner) and not (name == "tag" and len(outcomes) + 0.2 < 50):
            won, lost = total.get((name, value), (0.0, 0.0))
            total[name, value] = (won + sum(outcomes) + 0.1, lost + len(outcomes) - sum(outcomes) + 0.1)
    return total


def slow_score(leads: list[OdooLead], asked: OdooLead, *, with_stage: bool) -> float | None:
    """The description, sentence by sentence: choose the scope, multiply, divide, round, clip."""
    counts = slow_counts(leads, asked.team)
    if ("stage", "new") not in counts:
        return None
    w0, l0 = counts["stage", "new"]
    s_won, s_lost = w0 / (w0 + l0), l0 / (w0 + l0)
    if with_stage and ("stage", str(asked.stage)) in counts:
        won, lost = counts["stage", str(asked.stage)]
        s_won, s_lost = s_won * won / w0, s_lost * lost / l0
    for name, value in slow_values(asked):
        if (name, value) in counts:
            won, lost = counts[name, value]
            s_won *= won / sum(row[0] for (n, _), row in counts.items() if n == name)
            s_lost *= lost / sum(row[1] for (n, _), row in counts.items() if n == name)
    return min(max(round(100 * s_won / (s_won + s_lost), 2), 0.01), 99.99)


VALUE = st.sampled_from([None, "", "a", "b"])
LEADS = st.builds(
    OdooLead,
    st.fixed_dictionaries(dict.fromkeys(FIELDS[:3], VALUE)),
    st.sampled_from([stage.name for stage in STAGES[:3]]),
    st.sampled_from([None, "east", "west"]),
    st.sampled_from([(), ("t",), ("t", "u")]),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(
    leads=st.lists(LEADS, min_size=1, max_size=12), asked=LEADS, times=st.sampled_from([1, 40]), staged=st.booleans()
)
def test_score_equals_the_formula_written_out_slowly(
    leads: list[OdooLead], asked: OdooLead, times: int, staged: bool
) -> None:
    scorer = OdooScorer(FIELDS, STAGES, with_stage=staged).fit(leads * times)
    expected = slow_score(leads * times, asked, with_stage=staged)
    got = scorer.score(asked)
    assert (got is None) == (expected is None)
    if got is not None and expected is not None:
        # Sums of logarithms and products may fall on two sides of a half hundredth.
        assert got == pytest.approx(expected, abs=0.0101)


def frame_of(leads: list[OdooLead]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {**NOTHING, **lead.fields, "stage": lead.stage, "team": lead.team, "tags": lead.tags} for lead in leads
    ]
    return pd.DataFrame(rows, dtype=object)


@pytest.mark.parametrize("staged", [True, False])
def test_the_table_gives_exactly_the_scores_of_single_leads(staged: bool) -> None:
    rng = np.random.default_rng(0)

    def some(n: int) -> list[OdooLead]:
        return [
            OdooLead(
                {name: [None, "a", "b", "c"][rng.integers(4)] for name in FIELDS},
                [None, "new", "qualified", "proposal", "won"][rng.integers(1 if staged else 0, 5)],
                [None, "east", "west", "north"][rng.integers(4)],
                [(), ("t",), ("t", "u")][rng.integers(3)],
                bool(rng.random() < 0.4),
            )
            for _ in range(n)
        ]

    closed, asked = some(400), some(300)
    frame = frame_of(closed)
    from_frame = OdooScorer(FIELDS, STAGES, with_stage=staged).fit(
        leads_of(frame, FIELDS, won=[lead.won for lead in closed])
    )
    scorer = OdooScorer(FIELDS, STAGES, with_stage=staged).fit(closed)
    assert from_frame._table == scorer._table
    single = [math.nan if (score := scorer.score(lead)) is None else score for lead in asked]
    np.testing.assert_array_equal(scorer.predict(frame_of(asked)), single)
    assert len(set(single)) > 50


def test_counting_a_frame_at_once_is_counting_its_rows_one_by_one() -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "source": np.array(["fair", "web", "", None], dtype=object)[rng.integers(0, 4, 500)],
            "phone_state": np.array(["correct", "incorrect", None], dtype=object)[rng.integers(0, 3, 500)],
            "size": rng.integers(0, 5, 500).astype(str),
        }
    )
    won, fields = rng.random(500) < 0.2, ("source", "phone_state", "size")
    at_once = OdooScorer(fields=fields).fit_frame(frame, won)
    one_by_one = OdooScorer(fields=fields).fit(leads_of(frame, fields, won=won))
    assert at_once._table.keys() == one_by_one._table.keys()
    for key, row in one_by_one._table.items():
        assert at_once._table[key] == pytest.approx(row), key
    assert at_once.predict(frame).tolist() == pytest.approx(one_by_one.predict(frame).tolist())
