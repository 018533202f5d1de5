"""The gate promotes what is sound, keeps the champion from what is not, and says what it could not check."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from data.errors import DataError
from tests.model.judged import SOURCES, World, logit, open_leads, sigmoid, with_segment, world
from training.gating.gate import Decision, JudgedRows, OpenLeads, Verdict, gate

if TYPE_CHECKING:
    from collections.abc import Callable

WINS = 700
BASE = -1.8
CAPACITY = 40
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Given:
    """What the gate is given."""

    rows: JudgedRows
    open: OpenLeads
    capacity: int = CAPACITY
    same: bool = False


def decide(given: Given, seed: int = 0) -> Verdict:
    rng = np.random.default_rng(seed)
    return gate(given.rows, given.open, capacity=given.capacity, rng=rng, same=given.same, replicates=120)


def alike(seed: int, **about: Any) -> World:
    """A world in which two models know nearly the same: a recipe fitted with another seed."""
    return world(WINS, seed=seed, own=0.05, **({"base": BASE} | about))


def equal(seed: int) -> Given:
    of = alike(seed)
    return Given(of.rows(of.second_model(), of.first_model()), open_leads(seed=seed))


def lost_segment(seed: int) -> Given:
    of = world(2 * WINS, seed=seed, base=BASE, own=0.05)
    rows = of.rows(of.second_model(), of.first_model())
    return Given(with_segment(rows, SOURCES[1], rows.prior), open_leads(seed=seed))


def on_equal(change: Callable[[JudgedRows], JudgedRows]) -> Callable[[int], Given]:
    return lambda seed: replace(equal(seed), rows=change(equal(seed).rows))


def worse(seed: int, *, wins: int = WINS) -> Given:
    of = world(wins, seed=seed, base=BASE)
    challenger = of.second_model(blind=0.5, rng=np.random.default_rng(seed))
    return Given(of.rows(challenger, of.first_model()), open_leads(seed=seed))


def better(seed: int) -> Given:
    given = worse(seed, wins=2 * WINS)
    assert given.rows.champion is not None
    return replace(given, rows=replace(given.rows, challenger=given.rows.champion, champion=given.rows.challenger))


def same_predictions(rows: JudgedRows) -> JudgedRows:
    assert rows.champion is not None
    return replace(rows, challenger=rows.champion)


def miscalibrated(rows: JudgedRows) -> JudgedRows:
    return replace(rows, challenger=sigmoid(2 * logit(rows.challenger) + 0.7))


def segment_shuffled(rows: JudgedRows) -> JudgedRows:
    hit = rows.segments["source"] == SOURCES[0]
    shuffled = rows.challenger.copy()
    shuffled[hit] = np.random.default_rng(0).permutation(shuffled[hit])
    return replace(rows, challenger=shuffled)


def rate_jump(seed: int) -> Given:
    """The leads win more often than what both models were fitted on."""
    of = world(WINS, seed=seed, own=0.05, base=-0.8)
    stale = replace(of, base=BASE)
    return Given(stale.rows(stale.second_model(), stale.first_model()), open_leads(seed=seed))


def odd_month(rows: JudgedRows) -> JudgedRows:
    """Half the wins of one list were never entered."""
    gone = (rows.periods == 2) & (rows.clusters % 2 == 0)
    return replace(rows, y_obs=np.where(gone, 0, rows.y_obs))


def rules_know_better(seed: int) -> Given:
    """Both models lost most of what the rules still see."""
    of = alike(seed)
    blind = replace(of, shared=0.1 * of.shared + np.random.default_rng(seed).permutation(of.shared))
    return Given(of.rows(blind.second_model(), blind.first_model()), open_leads(seed=seed))


def with_wins(wins: int) -> Callable[[int], Given]:
    def given(seed: int) -> Given:
        of = world(1000, seed=seed, own=0.05, base=BASE)
        keep = np.flatnonzero(np.cumsum(of.y_obs) <= wins)
        rows = of.rows(of.second_model(), of.first_model())
        return Given(_taken(rows, keep), open_leads(seed=seed))

    return given


def _taken(rows: JudgedRows, keep: Any) -> JudgedRows:
    champion = None if rows.champion is None else rows.champion[keep]
    arrays = {k: getattr(rows, k)[keep] for k in ("y_obs", "clusters", "periods", "challenger", "scorecard", "prior")}
    return JudgedRows(**arrays, champion=champion, segments={k: v[keep] for k, v in rows.segments.items()})


def with_refit(change: Callable[[Any, np.random.Generator], Any]) -> Callable[[int], Given]:
    def given(seed: int) -> Given:
        honest = open_leads(seed=seed)
        return replace(equal(seed), open=replace(honest, refit=change(honest.refit, np.random.default_rng(seed))))

    return given


def half_noise(refit: Any, rng: np.random.Generator) -> Any:
    """What a refit says whose columns changed places: part of the order is lost."""
    return sigmoid(logit(refit) + 1.2 * rng.normal(size=len(refit)))


def without_open_leads(seed: int) -> Given:
    return replace(equal(seed), open=OpenLeads(np.empty(0), np.empty(0)))


def served_already(seed: int) -> Given:
    given = equal(seed)
    return replace(given, open=replace(given.open, served=given.open.refit.copy()))


@dataclass(frozen=True)
class Planted:
    """What is given, the decision it must get, which checks have to fail and which cannot be made."""

    make: Callable[[int], Given]
    decision: Decision
    failing: frozenset[str] = frozenset()
    unmade: frozenset[str] = frozenset()
    seeds: tuple[int, ...] = SEEDS


def keep(make: Callable[[int], Given], *failing: str, seeds: tuple[int, ...] = SEEDS) -> Planted:
    return Planted(make, "keep", frozenset(failing), seeds=seeds)


NONE_JUDGED = frozenset(("log loss", "calibration", "wins at capacity", "segments"))
PLANTED = {
    "equal model, other seed": Planted(equal, "promote"),
    "same recipe on newer data": Planted(on_equal(same_predictions), "promote"),
    "better model": Planted(better, "promote"),
    "base rate jumps for both alike": Planted(rate_jump, "promote"),
    "one odd month": Planted(on_equal(odd_month), "promote"),
    "worse model": keep(worse, "log loss"),
    "miscalibrated": keep(on_equal(miscalibrated), "log loss", "calibration"),
    "a segment shuffled": keep(on_equal(segment_shuffled), "segments"),
    "a segment at the prior": keep(lost_segment, "segments"),
    "the rules catch more": keep(rules_know_better, "wins at capacity"),
    "constant": keep(on_equal(lambda r: replace(r, challenger=r.prior)), "log loss", "calibration"),
    "same bundle": keep(lambda seed: replace(equal(seed), same=True), seeds=(1,)),
    "served answers alike": keep(served_already, seeds=(1,)),
    "refit of swapped columns": keep(with_refit(half_noise), "refit"),
    "refit on half the wins": keep(with_refit(lambda p, _: 0.45 * p), "refit", seeds=(1,)),
    "refit on shuffled labels": keep(with_refit(lambda p, _: sigmoid(-1.8 + 0.3 * logit(p))), "refit", seeds=(1,)),
    "refit without spread": keep(with_refit(lambda p, _: np.full_like(p, p.mean())), "refit", seeds=(1,)),
    "won and lost confused": keep(with_refit(lambda p, _: 1 - p), "refit", seeds=(1,)),
    "no open leads": Planted(without_open_leads, "by_hand", unmade=frozenset(("refit",)), seeds=(1,)),
    "more calls than leads": Planted(
        lambda seed: replace(equal(seed), capacity=5000), "promote", unmade=frozenset(("wins at capacity",))
    ),
    "no segments": Planted(
        on_equal(lambda r: replace(r, segments={})), "promote", unmade=frozenset(("segments",)), seeds=(1,)
    ),
    "wins of a few accounts": Planted(
        on_equal(lambda r: replace(r, clusters=r.clusters % 30)), "by_hand", unmade=NONE_JUDGED, seeds=(1,)
    ),
    "60 wins": Planted(with_wins(60), "by_hand", unmade=NONE_JUDGED),
    "30 wins": Planted(with_wins(30), "keep", unmade=NONE_JUDGED),
}


@pytest.mark.parametrize(("fault", "seed"), [(name, seed) for name, fault in PLANTED.items() for seed in fault.seeds])
def test_a_planted_fault_gets_the_verdict_it_must_get(fault: str, seed: int) -> None:
    planted = PLANTED[fault]
    verdict = decide(planted.make(seed), seed)
    assert verdict.decision == planted.decision, verdict.sentence
    failed = {check.name for check in verdict.checks if check.passed is False}
    assert planted.failing <= failed, verdict.sentence
    assert planted.decision == "keep" or not failed
    assert {check.name for check in verdict.not_checked} == planted.unmade


FIRST: dict[str, tuple[Callable[[JudgedRows], JudgedRows], Decision, str]] = {
    "good": (lambda r: r, "promote", "may be served as the first model"),
    "no better than the prior": (lambda r: replace(r, challenger=r.prior), "keep", "not clearly better than the prior"),
    "no better than the rules": (
        lambda r: replace(r, challenger=r.scorecard),
        "keep",
        "not clearly better than the scorecard",
    ),
    "too sure of itself": (
        lambda r: replace(r, challenger=sigmoid(1.8 * logit(r.challenger) + 1.5)),
        "keep",
        "slope 0.",
    ),
    "too high by half": (
        lambda r: replace(r, challenger=np.minimum(1.6 * r.challenger, 0.99)),
        "keep",
        "predicted / observed 1.",
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", FIRST)
def test_a_first_model_has_to_beat_prior_and_rules_and_be_calibrated(case: str, seed: int) -> None:
    change, decision, words = FIRST[case]
    of = alike(seed)
    verdict = decide(Given(change(of.rows(of.first_model(), None)), open_leads(seed=seed)), seed)
    assert verdict.decision == decision, verdict.sentence
    assert words in " ".join((verdict.sentence, *(check.evidence for check in verdict.checks)))
    assert "Not checked: segments (there is no champion to compare with)" in verdict.sentence


def test_what_was_not_checked_is_named_with_its_reason_in_every_sentence() -> None:
    for name in ("no open leads", "more calls than leads", "no segments", "60 wins", "30 wins"):
        verdict = decide(PLANTED[name].make(1))
        assert verdict.not_checked
        for check in verdict.not_checked:
            assert check.name in verdict.sentence.partition("Not checked:")[2], (name, verdict.sentence)
            assert check.evidence in verdict.sentence, (name, verdict.sentence)


def test_too_few_wins_still_show_figures() -> None:
    verdict = decide(PLANTED["60 wins"].make(1))
    figures = {check.name: check.figures for check in verdict.checks}
    assert np.isfinite(figures["log loss"]["difference to the champion"])
    assert 0.3 < figures["calibration"]["challenger: slope"] < 3
    assert "60 judged wins" in verdict.sentence


def test_a_damaged_refit_is_kept_back_however_few_wins_there_are() -> None:
    given = PLANTED["60 wins"].make(1)
    damaged = replace(given, open=replace(given.open, refit=1 - given.open.refit))
    assert decide(damaged).decision == "keep"


def test_a_champion_that_is_off_excuses_a_challenger_that_is_off_no_more() -> None:
    given = rate_jump(1)
    (check,) = (c for c in decide(given).checks if c.name == "calibration")
    assert check.passed
    assert "off but no worse than the champion's" in check.evidence
    first = replace(given, rows=replace(given.rows, champion=None))
    assert decide(first).decision == "keep"


def test_behind_the_rules_by_chance_is_excused_only_where_the_champion_is_no_better() -> None:
    """A list of one lead decides: the rules caught the win, the challenger did not."""
    of = alike(1)
    rows, top = of.rows(of.second_model(), of.first_model()), 1e-3
    won, lost = np.flatnonzero(rows.y_obs == 1)[0], np.flatnonzero(rows.y_obs == 0)[0]
    one = np.zeros_like(rows.periods)

    def crowned(values: Any, index: int) -> Any:
        changed = values.copy()
        changed[index] = values.max() + top
        return changed

    missed = replace(
        rows,
        periods=one,
        scorecard=crowned(rows.scorecard, int(won)),
        challenger=crowned(rows.challenger, int(lost)),
        champion=crowned(rows.champion, int(lost)),
    )
    caught = replace(missed, champion=crowned(rows.champion, int(won)))
    verdicts = [decide(Given(r, open_leads(seed=1), capacity=1)) for r in (missed, caught)]
    passed = [next(c.passed for c in v.checks if c.name == "wins at capacity") for v in verdicts]
    assert passed == [True, False]


def test_the_verdict_is_the_same_for_the_same_draws_and_goes_into_json() -> None:
    given = equal(1)
    assert decide(given, 5) == decide(given, 5)
    told = decide(replace(given, rows=replace(given.rows, challenger=given.rows.prior)))
    written = json.loads(json.dumps(told.as_dict(), allow_nan=False))
    assert written["decision"] == "keep"
    assert written["checks"][1]["figures"]["challenger: slope"] is None


@pytest.mark.parametrize("method", ["challenger", "champion", "scorecard", "prior"])
def test_a_missing_probability_is_an_error_and_no_verdict(method: str) -> None:
    rows = equal(1).rows
    broken = getattr(rows, method).copy()
    broken[3] = np.nan
    with pytest.raises(DataError):
        decide(Given(replace(rows, **{method: broken}), open_leads(seed=1)))


@pytest.mark.parametrize("which", ["refit", "judged", "served"])
def test_a_missing_probability_of_an_open_lead_is_an_error(which: str) -> None:
    honest = open_leads(seed=1)
    broken = honest.judged.copy()
    broken[0] = np.nan
    with pytest.raises(DataError, match=f"{which}.* no probability"):
        decide(Given(equal(1).rows, replace(honest, **{which: broken})))


def test_lengths_that_differ_are_named() -> None:
    given = equal(1)
    with pytest.raises(DataError, match="'source' has 3 labels"):
        decide(replace(given, rows=replace(given.rows, segments={"source": np.array(["a"] * 3)})))
    with pytest.raises(DataError, match="judged gives"):
        decide(replace(given, open=OpenLeads(np.full(40, 0.5), np.full(41, 0.5))))
    with pytest.raises(DataError, match="capacity"):
        decide(replace(given, capacity=0))
