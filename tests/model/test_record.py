"""The record: what was promised beside what came true, by what was known at a moment."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.clock import DAY_US, MINUTE_US, parse_moment, to_us
from data.importing import import_export
from data.mapping import load_mapping
from data.settings import Plan
from data.simulator import simulate
from data.store.engine import open_store
from data.store.scores import Score, record_scores
from data.warehouse import Warehouse
from monitoring.record.given import read_given
from monitoring.record.outcomes import Worked, measure_worked
from monitoring.record.promises import estimate_unlabelled, keep_promise
from monitoring.record.record import Record, measure_record
from tests.model.planted import END
from tests.model.watched import settings_of, write_promises
from tests.reference.worlds import connect, load
from training.evaluation.metrics import wilson

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from data.settings import Settings
    from monitoring.record.given import Given

MONTHS = ("2026-01-01", "2026-10-01")
AS_OF_US = to_us(END)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    export = simulate(leads=3000, seed=4, out=folder, end=END).export
    import_export(export, load_mapping(export / "mapping.yaml"), Warehouse(folder / "warehouse"), now=END)
    return folder


def record_of(
    team: Path, home: Path, told: Callable[[np.ndarray], np.ndarray] = lambda p: p, as_of_us: int = AS_OF_US
) -> tuple[Record, Given]:
    settings = settings_of(home)
    write_promises(settings, team / "truth", months=MONTHS, told=told)
    given = given_of(settings, as_of_us)
    with Warehouse(team / "warehouse").connect() as connection:
        record = measure_record(
            connection, given, Plan(), as_of_us=as_of_us, capacity=40, rng=np.random.default_rng(0), month_sd=0.3
        )
    return record, given


def given_of(settings: Settings, as_of_us: int = AS_OF_US) -> Given:
    with closing(open_store(settings.store_url)) as store:
        return read_given(store, as_of_us=as_of_us, timezone="UTC", bundles=settings.bundles_dir)


@pytest.fixture(scope="module")
def true_record(team: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Given]:
    """The record of a model that knows the truth."""
    return record_of(team, tmp_path_factory.mktemp("true"))


def test_true_probabilities_keep_their_promise(true_record: tuple[Record, Given]) -> None:
    record, _ = true_record
    assert record.findings == ()
    assert record.level is not None
    assert record.level.low < 0 < record.level.high
    assert record.order is not None
    assert record.order.model is not None
    assert record.order.rules is not None
    assert record.order.difference is not None
    # The points are made up; the probabilities are the truth.
    assert record.order.model[0] > record.order.rules[2]
    assert record.order.difference[1] > 0
    assert record.order.model_wins > record.order.rules_wins


def test_each_month_and_grade_is_counted_as_by_hand(true_record: tuple[Record, Given]) -> None:
    record, given = true_record
    assert {one.month for one in record.promises} == {f"2026-{month:02d}" for month in range(1, 11)}
    assert sum(one.leads for one in record.promises) == record.scores - record.not_counted
    for one in record.promises:
        assert one.mature + one.young == one.leads
        if one.realised is not None:
            assert one.realised == one.wins / one.mature
            assert (one.low, one.high) == wilson(one.wins, one.mature)
    # 90 days of horizon and the delay of entering: of October's list nothing can have matured.
    assert all(one.mature == 0 for one in record.promises if one.month == "2026-10")
    assert all(one.young == 0 for one in record.promises if one.month == "2026-06")
    assert len(given) == record.scores


def test_promises_that_double_the_truth_call_for_a_recalibration(team: Path, tmp_path: Path) -> None:
    record, _ = record_of(team, tmp_path, told=lambda p: np.clip(2.5 * p, 0, 0.9))
    assert [finding.kind for finding in record.findings] == ["base_rate_moved"]
    assert record.level is not None
    assert record.level.shift < -0.3


def test_promises_that_are_off_as_far_as_months_stray_are_to_be_watched(team: Path, tmp_path: Path) -> None:
    record, _ = record_of(team, tmp_path, told=lambda p: np.clip(1.4 * p, 0, 0.9))
    (found,) = record.findings
    assert (found.kind, found.severity) == ("base_rate_moved", "watch")
    assert record.level is not None
    assert abs(record.level.shift) > 2.9 * record.level.standard_error


def test_promises_in_no_order_are_told_as_a_lost_order(team: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    record, _ = record_of(team, tmp_path, told=rng.permutation)
    assert "ranking_lost" in {finding.kind for finding in record.findings}


def test_the_record_of_an_earlier_moment_does_not_know_what_came_later(team: Path, tmp_path: Path) -> None:
    earlier = to_us(parse_moment("2026-07-15"))
    record, given = record_of(team, tmp_path, as_of_us=earlier)
    assert given.as_of_us.max() <= earlier
    later = Warehouse(team / "warehouse").connect()
    later.execute(
        f"CREATE TEMP VIEW outcomes AS SELECT * FROM memory.main.outcomes WHERE EPOCH_US(known_at) <= {earlier}"  # noqa: S608
    )
    again = measure_record(
        later, given, Plan(), as_of_us=earlier, capacity=40, rng=np.random.default_rng(0), month_sd=0.3
    )
    assert again.promises == record.promises
    assert again.level == record.level


def test_true_probabilities_foretell_their_own_wins_and_order(true_record: tuple[Record, Given]) -> None:
    record, _ = true_record
    matured = [one for one in record.promises if one.mature]
    wins = sum(one.wins for one in matured)
    promised = sum(one.mature * (one.promised or 0.0) for one in matured)
    # The same leads stand on several lists, so the spread is wider than that of single draws.
    assert abs(wins - promised) < 4 * 2 * promised**0.5
    assert record.order is not None
    assert record.order.model is not None
    assert record.expected_order is not None
    assert record.order.model[1] - 0.05 < record.expected_order < record.order.model[2] + 0.05


@pytest.mark.parametrize("seed", range(5))
def test_the_estimate_without_labels_is_right_where_probabilities_are_true(seed: int) -> None:
    rng = np.random.default_rng(seed)
    promised = rng.beta(0.5, 8, 4000)
    won = (rng.random(4000) < promised).astype(np.int64)
    found = estimate_unlabelled(promised)
    assert abs(won.sum() - found.wins) < 4 * found.spread
    from training.evaluation.metrics import log_loss, roc_auc

    assert found.roc_auc == pytest.approx(roc_auc(won, promised), abs=0.05)
    assert found.log_loss == pytest.approx(log_loss(won, promised), abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_ninety_five_percent_intervals_hold_true_rates_about_that_often(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside = 0
    for _ in range(400):
        won = (rng.random(150) < 0.08).astype(np.int64)
        inside += bool(keep_promise("m", "A", np.full(150, 0.08), won, np.ones(150, bool)).kept)
    assert 0.92 <= inside / 400 <= 0.98


def _score(lead: str, as_of: str, *, cause: str = "batch", source: str = "model", p: float | None = 0.2) -> Score:
    bundle = "" if source == "rules" else "sha256:gone"
    rules = {"points": 10, "pool": "C", "assign_within_minutes": None, "fired": []}
    grade = None if p is None else "B"
    return Score(lead, to_us(parse_moment(as_of)), bundle, source, p, None, grade, "C", {}, (), rules, cause)  # type: ignore[arg-type]


def test_of_a_month_the_first_score_counts_and_payloads_only_where_there_is_no_other(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    from data.store.migrate import migrate

    migrate(settings.store_url)
    scores = [
        _score("a", "2026-03-01", cause="payload", p=0.9),
        _score("a", "2026-03-02", p=0.3),
        _score("a", "2026-03-20", p=0.4),
        _score("b", "2026-03-05", cause="payload", p=0.5),
        _score("c", "2026-03-05", source="rules", p=None),
    ]
    with closing(open_store(settings.store_url)) as store:
        for score in scores:
            record_scores(store, [score], now_us=score.as_of_us)
    given = given_of(settings)
    assert given.lead_id.tolist() == ["a", "b", "c"]
    assert given.probability[:2].tolist() == [0.3, 0.5]
    assert given.source.tolist() == ["model", "model", "rules"]
    assert set(given.month.tolist()) == {"2026-03"}


def test_a_score_written_down_later_by_a_model_that_may_have_known_more_is_left_out(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    from data.store.migrate import migrate

    migrate(settings.store_url)
    late = _score("a", "2026-03-01")
    with closing(open_store(settings.store_url)) as store:
        record_scores(store, [late], now_us=late.as_of_us + 60 * DAY_US)
        record_scores(store, [replace(late, lead_id="b", source="rules", bundle="", probability=None)])
    given = given_of(settings)
    assert given.left_out == 1
    assert given.lead_id.tolist() == ["b"]


def test_hot_leads_count_as_worked_in_time_by_hand() -> None:
    from monitoring.record.given import HotLead

    began = to_us(parse_moment("2026-03-02T08:00:00Z"))

    def action(number: int, lead: str, kind: str, minutes: int, entered: int | None = None) -> dict[str, object]:
        from data.clock import from_us

        at, known = from_us(began + minutes * MINUTE_US), from_us(began + (entered or minutes) * MINUTE_US)
        return {"action_id": f"t{number}", "lead_id": lead, "type": kind, "occurred_at": at, "known_at": known}

    names = ("accounts", "leads", "contacts", "events", "stages", "outcomes", "merges", "spend")
    tables: dict[str, list[dict[str, object]]] = {name: [] for name in names}
    actions = [
        action(1, "soon", "assigned", 1),  # being handed over is no answer
        action(2, "soon", "called", 20),
        action(3, "late", "called", 90),
        action(4, "never", "assigned", 1),
        action(5, "before", "called", -10),  # what was done before it became hot answers nothing
        action(6, "entered", "called", 5, entered=5000),  # not known yet
    ]
    hot = [HotLead(lead, began, 30) for lead in ("soon", "late", "never", "before", "entered")]
    hot.append(HotLead("young", began + 200 * MINUTE_US, 30))
    with connect() as connection:
        load(connection, {**tables, "actions": actions})
        found = measure_worked(connection, hot, as_of_us=began + 210 * MINUTE_US)
    assert found == Worked(hot=5, in_time=1, late=1, never=3, median_minutes=55.0)
    assert found.share == 0.2
