"""The hold-out is a fair lot by the lead's id: the asked share, blind to what the lead is like, the same everywhere."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest, chi2_contingency, chisquare

from data.clock import parse_moment
from data.holdout import NOBODY, HoldOut, holdout_of
from data.settings import Settings
from data.simulator import simulate
from data.store import current_score, lead_facts, open_store
from data.store.open_leads import open_leads
from data.sync import sync
from data.warehouse import Warehouse
from features.facts import facts_as_of
from features.scorecard import load_scorecard
from serving.batch.score_command import score_open_leads
from serving.scoring.facts import custom_kinds
from serving.scoring.scorer import Scorer
from serving.stored.rescoring import rescore_dirty, score_facts
from serving.today.capacity import call_order
from tests.data.stores import made_store
from tests.service.bundles import AS_OF_US
from tests.service.test_score_command import LEADS, fill

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

IDS = [f"00Q{number:09d}" for number in range(50_000)]


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
@pytest.mark.parametrize("salt", ["clew", "another", "线索"])
def test_the_share_is_the_one_that_was_asked_for(share: float, salt: str) -> None:
    held = sum(HoldOut(share, salt).marks(IDS))
    low, high = binomtest(held, len(IDS), share).proportion_ci(0.9999)
    assert low <= share <= high


def test_nobody_and_everybody_can_be_held_out() -> None:
    assert not any(HoldOut(0.0, "s").marks(IDS[:2_000]))
    assert all(HoldOut(1.0, "s").marks(IDS[:2_000]))
    assert not any(NOBODY.marks(IDS[:2_000]))


def test_a_larger_share_holds_out_the_same_leads_and_more() -> None:
    few, many = (set(np.array(IDS)[HoldOut(share, "s").marks(IDS)]) for share in (0.02, 0.1))
    assert few < many


def test_another_salt_picks_other_leads() -> None:
    one, other = (np.array(HoldOut(0.1, salt).marks(IDS)) for salt in ("s", "t"))
    assert (
        chi2_contingency(
            [
                [int((one & other).sum()), int((one & ~other).sum())],
                [int((~one & other).sum()), int((~one & ~other).sum())],
            ]
        ).pvalue
        > 1e-4
    )


def test_blanks_around_an_id_change_nothing_as_the_store_drops_them() -> None:
    holdout = HoldOut(0.5, "s")
    assert [holdout.lot(f" {one}\t", "held") for one in IDS[:50]] == [holdout.lot(one, "held") for one in IDS[:50]]


def test_options_are_drawn_with_equal_chances_whoever_is_held_out() -> None:
    holdout = HoldOut(0.5, "s")
    held = np.array(holdout.marks(IDS))
    drawn = np.array([holdout.drawn(one, range(4)) for one in IDS])
    assert chisquare(np.bincount(drawn)).pvalue > 1e-4
    assert chi2_contingency([np.bincount(drawn[held]), np.bincount(drawn[~held])]).pvalue > 1e-4
    places = np.array([holdout.place(one) for one in IDS])
    assert 0 <= places.min() < 0.001
    assert 0.999 < places.max() < 1
    assert abs(float(np.corrcoef(places, drawn)[0, 1])) < 0.02


def test_the_lot_is_pinned() -> None:
    """Other figures would hold out other leads than before, and forget who was."""
    holdout = holdout_of(Settings())
    assert [one for one in IDS[:400] if holdout.holds(one)] == PINNED


PINNED = [f"00Q{number:09d}" for number in (56, 74, 92, 93, 123, 126, 226, 246, 377)]


# --- on simulated leads -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A simulated team's leads: what they are like, and how likely each is won."""
    out = tmp_path_factory.mktemp("people")
    simulate(leads=6_000, seed=3, out=out, end=parse_moment("2026-11-01"))
    leads = pq.read_table(out / "truth" / "leads.parquet").to_pandas()
    looks = pq.read_table(out / "truth" / "snapshots.parquet").to_pandas()
    first = looks[looks["kind"] == "t0"][["lead_id", "as_of", "probability_90d"]]
    merged: pd.DataFrame = leads.merge(first, on="lead_id")
    return merged


HOLDOUT = HoldOut(0.1, "team")


@pytest.mark.parametrize("column", ["industry", "seniority", "market", "pool", "size", "score", "half"])
def test_who_is_held_out_says_nothing_about_the_lead(people: pd.DataFrame, column: str) -> None:
    import pandas as pd

    told = people.assign(
        size=pd.qcut(people["employees"], 5, duplicates="drop").astype(str),
        score=pd.qcut(people["probability_90d"], 10).astype(str),
        half=people["as_of"].rank() // (len(people) / 6),
    )
    held = HOLDOUT.marks(told["lead_id"])
    assert chi2_contingency(pd.crosstab(told[column], np.array(held))).pvalue > 1e-3


def test_where_only_called_leads_can_win_the_lot_still_shows_what_a_call_is_worth(people: pd.DataFrame) -> None:
    rng = np.random.default_rng(8)
    chance = people["probability_90d"].to_numpy()
    # The team's model is right about half of what matters, and calls the first quarter of each month's leads.
    score = np.log(chance / (1 - chance)) + rng.normal(0, 1.0, len(people))
    months = people["as_of"].dt.strftime("%Y-%m").to_numpy()
    held = np.array(HOLDOUT.marks(people["lead_id"]))
    called = np.zeros(len(people), bool)
    for month in np.unique(months):
        at = np.flatnonzero(months == month)
        places = [HOLDOUT.place(people["lead_id"].iloc[k]) if held[k] else None for k in at]
        called[at[call_order(score[at], places)[: len(at) // 4]]] = True
    won = called & (rng.random(len(people)) < chance)

    lot, choice = called & held, called & ~held
    # Of both kinds a quarter is called, but the lot calls whoever comes.
    assert binomtest(int(lot.sum()), int(held.sum()), 0.25).pvalue > 1e-3
    low = score < np.median(score)
    assert not choice[low].any()
    assert lot[low].sum() > 30
    # What a call would win among all leads: the lot tells it, the team's own choices do not.
    assert binomtest(int(won[lot].sum()), int(lot.sum()), float(chance.mean())).pvalue > 1e-3
    assert binomtest(int(won[choice].sum()), int(choice.sum()), float(chance.mean())).pvalue < 1e-6
    # And so it is within those leads that nobody would have chosen.
    worst = lot & low
    assert binomtest(int(won[worst].sum()), int(worst.sum()), float(chance[held & low].mean())).pvalue > 1e-3


# --- the same wherever it is asked --------------------------------------------------------------------------------


def marks_of(scores: dict[str, Any]) -> dict[str, bool]:
    return {lead_id: score.rules["handover"]["holdout"] for lead_id, score in scores.items()}


def test_marks_are_the_same_by_every_way_and_survive_a_sync(tmp_path: Path) -> None:
    scorer = Scorer(None, load_scorecard(), holdout=HoldOut(0.5, "s"))
    with made_store("sqlite", tmp_path) as store:
        fill(store)
        standing = open_leads(store, as_of_us=AS_OF_US)
        rescore_dirty(store, scorer, AS_OF_US)
        rescored = {one: given.score for one in standing if (given := current_score(store, one)) is not None}
        expected = dict(zip(standing, scorer.holdout.marks(standing), strict=True))
        assert marks_of(rescored) == expected
        assert len(expected) == LEADS - 1
        assert set(expected.values()) == {True, False}

        custom = custom_kinds(scorer.catalogue)
        for lead_id in standing:
            facts = facts_as_of(
                lead_id, AS_OF_US, **lead_facts(store, lead_id, as_of_us=AS_OF_US, custom=custom).tables
            )
            asked = scorer.told_of(lead_id, facts, as_of_us=AS_OF_US).body
            assert asked["handover"]["holdout"] is expected[lead_id]
            batch: Any = score_facts(scorer, lead_id, facts, as_of_us=AS_OF_US + 1, cause="batch").rules
            assert batch["handover"]["holdout"] is expected[lead_id]

        settings = Settings(home=tmp_path)
        sync(store, Warehouse(settings.warehouse_dir))
    from data.store import migrate

    url = f"sqlite:///{tmp_path / 'empty.sqlite'}"
    migrate(url)
    with closing(open_store(url)) as empty:
        taken: dict[str, Any] = {}
        score_open_leads(
            empty, scorer, settings, AS_OF_US, take=lambda scores: taken.update({s.lead_id: s for s in scores})
        )
        assert taken
        assert marks_of(taken) == {one: expected[one] for one in taken}
