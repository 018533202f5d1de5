"""Reasons by tables against LightGBM's own and shap's, on a model with categories, holes and repeated features."""

from __future__ import annotations

import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.measure import Measured, against
from training.bundles.reasons.explainer import tree_explainer
from training.bundles.reasons.lookup import TableExplainer

if TYPE_CHECKING:
    import lightgbm

__all__ = ["bulk_vs_lightgbm", "bulk_vs_shap", "single_vs_lightgbm"]

Floats = NDArray[np.float64]

LEADS = 100_000
_NUMBERS, _LEVELS = 24, (5, 10, 20, 40, 5, 10, 20, 40)
_FIT_ROWS = 20_000
_ROUNDS = 5
# What a peer explains in one round: its time grows with the leads, and all 100,000 would take it minutes.
_PEER_LEADS = 2_000


@lru_cache
def _leads() -> tuple[Floats, Floats]:
    """Return leads and whether they are won: counts, amounts and scores with holes, and eight categories."""
    rng = np.random.default_rng(1)
    kinds: tuple[Callable[[], Floats], ...] = (
        lambda: rng.poisson(3, LEADS).astype(float),
        lambda: rng.lognormal(size=LEADS),
        lambda: rng.normal(size=LEADS),
    )
    numbers = np.column_stack([kinds[k % 3]() for k in range(_NUMBERS)])
    categories = np.column_stack([rng.integers(0, levels, LEADS) for levels in _LEVELS])
    margin = np.clip(numbers, -3, 5) @ rng.normal(size=_NUMBERS) * 0.2 + 0.1 * numbers[:, 1] * numbers[:, 2]
    for column in categories.T:
        margin += rng.normal(size=max(_LEVELS))[column] / 2
    numbers[rng.random(numbers.shape) < np.where(np.arange(_NUMBERS) % 2, 0.15, 0)] = np.nan
    won = rng.random(LEADS) < 1 / (1 + np.exp(np.median(margin) + 1.5 - margin))
    return np.hstack([numbers, categories.astype(float)]), won.astype(float)


@lru_cache
def _model(trees: int, leaves: int) -> lightgbm.Booster:
    import lightgbm

    matrix, won = _leads()
    parameters = {
        "objective": "binary",
        "num_leaves": leaves,
        "learning_rate": 0.05,
        "feature_fraction": 0.5,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": 1,
        "verbose": -1,
    }
    categorical = list(range(_NUMBERS, _NUMBERS + len(_LEVELS)))
    data = lightgbm.Dataset(matrix[:_FIT_ROWS], won[:_FIT_ROWS], categorical_feature=categorical)
    return lightgbm.train(parameters, data, trees)


def _tables(booster: lightgbm.Booster) -> tuple[TableExplainer, float]:
    """Return the explainer and how many seconds making it ready takes."""
    started = time.perf_counter()
    found = tree_explainer(booster)
    if not isinstance(found, TableExplainer):
        raise TypeError("the model does not fit the tables")
    return found, time.perf_counter() - started


def _bulk(peer: Callable[[Floats], Any]) -> Measured:
    """Compare the time a lead takes, one thread each; a sample of the answers has to agree."""
    matrix, _ = _leads()
    explainer, ready = _tables(_model(300, 31))
    ours, theirs, apart = [], [], 0.0
    for turn in range(_ROUNDS):
        sample = matrix[turn * _PEER_LEADS : (turn + 1) * _PEER_LEADS]
        started = time.perf_counter()
        found = explainer.many(matrix)
        middle = time.perf_counter()
        told = peer(sample)
        theirs.append((time.perf_counter() - middle) / len(sample) * 1e6)
        ours.append((middle - started) / len(matrix) * 1e6)
        apart = max(apart, float(np.abs(found[turn * _PEER_LEADS :][: len(sample)] - told).max()))
    if apart > 1e-9:
        raise AssertionError(f"the answers are {apart} apart")
    ratios = sorted(p / o for o, p in zip(ours, theirs, strict=True))
    return Measured(
        value=statistics.median(ours),
        unit="us a lead",
        peer=statistics.median(theirs),
        ratio=statistics.median(ratios),
        n=_ROUNDS,
        spread=(ratios[0], ratios[-1]),
        also={"leads": LEADS, "ready_s": ready, "apart": apart},
    )


def bulk_vs_lightgbm() -> Measured:
    """Measure reasons for 100,000 leads, 300 trees of 31 leaves, against `pred_contrib`."""
    booster = _model(300, 31)
    return _bulk(lambda rows: np.asarray(booster.predict(rows, pred_contrib=True, num_threads=1))[:, :-1])


def bulk_vs_shap() -> Measured:
    """Measure the same against `shap.TreeExplainer`; `make bench` gives OpenMP one thread."""
    with warnings.catch_warnings():
        # Its plots use what Matplotlib is going to drop.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap

    peer = shap.TreeExplainer(_model(300, 31), feature_perturbation="tree_path_dependent")

    def explain(rows: Floats) -> Floats:
        with warnings.catch_warnings():
            # It announces another shape of its answer.
            warnings.simplefilter("ignore", UserWarning)
            found = peer.shap_values(rows)
        return np.asarray(found[1] if isinstance(found, list) else found)

    return _bulk(explain)


def _single(trees: int, leaves: int) -> Measured:
    """Compare reasons of one lead after the other; another lead each time, so that no cache knows it."""
    matrix, _ = _leads()
    booster = _model(trees, leaves)
    explainer, _ = _tables(booster)
    lists = itertools.cycle(matrix[:20_000].tolist())
    rows = itertools.cycle(np.split(matrix[:20_000], 20_000))
    return against(
        lambda: explainer.one(next(lists)),
        lambda: booster.predict(next(rows), pred_contrib=True, num_threads=1),
        rounds=15,
        each=60,
    )


def single_vs_lightgbm() -> Measured:
    """Measure one lead's reasons against `pred_contrib` at 200 trees of 15 leaves; `also` tells two other models."""
    found = _single(200, 15)
    for trees, leaves in ((150, 8), (300, 31)):
        other = _single(trees, leaves)
        name = f"{trees}x{leaves}"
        found.also.update({f"ratio_{name}": other.ratio, f"us_{name}": other.value, f"peer_us_{name}": other.peer})
    return found
