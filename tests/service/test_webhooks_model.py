"""The first batch with a new model sends one summary, whatever happens to the batch and however often it is run."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from data.clock import HOUR_US, from_us, iso
from data.store import Store, add_target, claim_deliveries, open_store, record_scores
from data.store import scores as scores_module
from data.store.scores import current_score
from features.scorecard import load_scorecard
from serving.batch import score_command
from serving.batch.score_command import score_open_leads
from serving.scoring.scorer import Scorer
from serving.stored.rescoring import rescore_dirty
from serving.webhooks.signing import new_secret
from tests.commands import CommandLine
from tests.service.bundles import AS_OF_US
from tests.service.test_score_command import LEADS, fill
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from training.bundles.bundle import Bundle

OPEN = [f"L-{number:02}" for number in range(LEADS - 1)]


@pytest.fixture
def clew(tmp_path: Path) -> CommandLine:
    called = CommandLine(tmp_path)
    assert called("init").code == 0
    return called


@pytest.fixture
def store(clew: CommandLine) -> Iterator[Store]:
    opened = open_store(clew.settings().store_url)
    fill(opened)
    add_target(opened, "https://crm.example/hook", secret=new_secret())
    yield opened
    opened.close()


@pytest.fixture
def other(other_bundle: Bundle) -> Scorer:
    return Scorer(other_bundle, load_scorecard())


def summaries(store: Store) -> list[dict[str, Any]]:
    found = claim_deliveries(store, limit=100, hold_us=1)
    return [dict(each.body) for each in found if each.kind == "model_changed"]


def grades(store: Store) -> dict[str, str | None]:
    found = {lead_id: current_score(store, lead_id) for lead_id in OPEN}
    return {lead_id: given.score.grade for lead_id, given in found.items() if given is not None}


def test_the_command_sends_one_summary_of_a_new_model(
    clew: CommandLine, store: Store, scorer: Scorer, other: Scorer
) -> None:
    assert scorer.bundle is not None
    assert other.bundle is not None
    score_open_leads(store, scorer, clew.settings(), AS_OF_US)
    before = grades(store)
    assert summaries(store) == []
    folder = clew.settings().bundles_dir
    point_at(folder, "current", publish(other.bundle, folder))
    told = json.loads(clew("score", "--as-of", iso(from_us(AS_OF_US + HOUR_US)), "--json").out)
    assert told["bundle"] == other.bundle.digest
    for hours in (1, 2):
        score_open_leads(store, other, clew.settings(), AS_OF_US + hours * HOUR_US)
    (body,) = summaries(store)
    assert body["bundle"] == {"before": scorer.bundle.digest, "now": other.bundle.digest}
    assert body["leads"] == len(before) == len(OPEN)
    after = grades(store)
    moved = Counter((before[each], after[each]) for each in OPEN if before[each] != after[each])
    assert {(each["before"], each["now"]): each["leads"] for each in body["grades"]} == moved
    assert body["regraded"] == moved.total()


def test_a_batch_that_is_killed_half_way_is_told_when_it_was_run_again(
    clew: CommandLine, store: Store, scorer: Scorer, other: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_command, "_BATCH", 4)
    settings = clew.settings()
    score_open_leads(store, scorer, settings, AS_OF_US)
    written = [0]

    def dies(*told: Any, **named: Any) -> Any:
        written[0] += 1
        if written[0] == 3:
            raise KeyboardInterrupt
        return record_scores(*told, **named)

    with monkeypatch.context() as patch:
        patch.setattr(scores_module, "record_scores", dies)
        with pytest.raises(KeyboardInterrupt):
            score_open_leads(store, other, settings, AS_OF_US + HOUR_US)
    assert summaries(store) == []
    score_open_leads(store, other, settings, AS_OF_US + 2 * HOUR_US)
    score_open_leads(store, other, settings, AS_OF_US + 3 * HOUR_US)
    assert [body["leads"] for body in summaries(store)] == [len(OPEN)]


def test_a_batch_for_the_past_does_not_tell_that_a_model_has_taken_over(
    clew: CommandLine, store: Store, scorer: Scorer, other: Scorer
) -> None:
    settings = clew.settings()
    score_open_leads(store, scorer, settings, AS_OF_US)
    # A lead that changes is scored by the new model before the batch comes to it.
    assert rescore_dirty(store, other, AS_OF_US + HOUR_US, limit=3).scored > 0
    score_open_leads(store, other, settings, AS_OF_US - HOUR_US)
    assert summaries(store) == []
    score_open_leads(store, other, settings, AS_OF_US + 2 * HOUR_US)
    assert [body["leads"] for body in summaries(store)] == [len(OPEN)]


def test_the_first_model_after_the_rules_is_told_too(
    clew: CommandLine, store: Store, scorer: Scorer, bundle: Bundle
) -> None:
    settings = clew.settings()
    score_open_leads(store, Scorer(None, load_scorecard()), settings, AS_OF_US)
    score_open_leads(store, scorer, settings, AS_OF_US + HOUR_US)
    assert [body["bundle"] for body in summaries(store)] == [{"before": None, "now": bundle.digest}]
