"""How many leads were won in each window beside how many could have been: the level of winning, before labels mature.

A label takes a horizon to mature; that wins come in twice as fast shows at once. Wins count in the window in which they
became known, so that later entries change nothing of a past window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import DAY_US
from features.words import Words
from monitoring.drift.finding import Finding
from monitoring.drift.volumes import Surprise

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from numpy.typing import NDArray

    from monitoring.drift.windows import Windows

__all__ = ["YEAR", "YEARS_READ", "Level", "find_moved_level", "read_level", "seasonal"]

Level = tuple[tuple[int, ...], tuple[int, ...]]
"""Wins that became known in each window, and the leads that could have been won."""

YEAR = 13  # windows of 28 days
YEARS_READ = 4
_FRESH_US = 180 * DAY_US
_FEWEST = 4
_LEAST_WINS = 6.0
_LEAST_RATIO = 1.4
_SEASON_SD = 0.25  # of a wave of the year, in log-rate, before any is seen
_DRIFT_SD = 0.08  # by how much a market's level strays from one window to the next beyond its seasons


def read_level(connection: duckdb.DuckDBPyConnection, windows: Windows) -> Level:
    """Count the wins of each window, and the leads of the last 180 days that were open at its start or came in it.

    Older leads are hardly ever won, and a list that nobody cleans would only hide how often the others are.

    Parameters
    ----------
    connection
        With the warehouse's views.
    windows
        Which.
    """
    end = windows.ends_us[-1]
    rows = connection.execute(
        f"""
        SELECT l.t0_us, o.won_us, LEAST(COALESCE(o.won_us, {end}), COALESCE(o.lost_us, {end})) AS ended_us
        FROM (SELECT lead_id, MIN(EPOCH_US(GREATEST(created_at, known_at))) AS t0_us
              FROM leads GROUP BY lead_id) AS l
        LEFT JOIN (SELECT lead_id, MIN(CASE WHEN outcome = 'won' THEN EPOCH_US(known_at) END) AS won_us,
                          MIN(CASE WHEN outcome = 'lost' THEN EPOCH_US(known_at) END) AS lost_us
                   FROM outcomes WHERE EPOCH_US(known_at) < {end} GROUP BY lead_id) AS o ON o.lead_id = l.lead_id
        """  # noqa: S608 - the only value is a number
    ).fetchnumpy()
    began, won, ended = (_moments(rows[name]) for name in ("t0_us", "won_us", "ended_us"))
    bounds = list(zip(windows.starts_us, windows.ends_us, strict=True))
    wins = tuple(int(((won >= start) & (won < stop)).sum()) for start, stop in bounds)
    return wins, tuple(
        int(((began >= start - _FRESH_US) & (began < stop) & (ended >= start)).sum()) for start, stop in bounds
    )


def _moments(column: Any) -> NDArray[np.float64]:  # noqa: ANN401 - DuckDB gives a masked array where values are missing
    """Return moments, infinity where there is none."""
    return np.asarray(np.ma.filled(np.ma.asarray(column).astype(np.float64), np.inf))


def find_moved_level(level: Level, *, alpha: float) -> Finding | None:
    """Return the finding that leads are won more or less often than before, None where windows do as much themselves.

    Parameters
    ----------
    level
        The windows in order, the judged one last.
    alpha
        The probability of a finding in a quiet window.

    Examples
    --------
    >>> quiet, exposure = (20, 22, 18, 21, 19, 20, 23, 17), (100,) * 9
    >>> find_moved_level(((*quiet, 22), exposure), alpha=0.01) is None
    True
    >>> find_moved_level(((*quiet, 60), exposure), alpha=0.01).kind
    'base_rate_moved'
    """
    wins, exposed = level
    seen = seasonal(wins, exposed)
    if seen is None or max(seen.expected, seen.count) < _LEAST_WINS or seen.p > alpha / 2:
        return None
    ratio = (seen.count + 0.5) / (seen.expected + 0.5)
    if max(ratio, 1 / ratio) < _LEAST_RATIO:
        return None
    figures = {"wins": seen.count, "expected": seen.expected, "p": seen.p, "ratio": ratio}
    words = Words(
        en=f"{seen.count:,.0f} wins became known in 28 days, {seen.expected:.1f} are usual for as many leads",
        zh=f"28 天内登记 {seen.count:,.0f} 个赢单，按线索数通常为 {seen.expected:.1f} 个",
    )
    return Finding("base_rate_moved", "outcomes: won", "act", words, figures)


def seasonal(counts: Sequence[float], exposure: Sequence[float]) -> Surprise | None:
    """Return how unlikely the last count is beside the level and the yearly course of the others.

    `log E[count] = log exposure + a`, with two waves of the year where two years of windows are known, fitted by
    maximum likelihood of Poisson counts. The judged count is negative binomial: what the windows scatter beyond Poisson
    (Pearson's chi-square over its degrees of freedom, at least 1), the error of the fit and a straying market add to
    its variance.

    Returns
    -------
    Surprise or None
        None where fewer than four windows could have had wins.

    Examples
    --------
    >>> course = [round(40 + 20 * np.sin(2 * np.pi * k / 13)) for k in range(27)]
    >>> usual, doubled = (seasonal([*course, last], [1.0] * 28) for last in (49, 98))
    >>> round(usual.expected), usual.p > 0.2, doubled.p < 0.001
    (49, True, True)
    """
    from scipy.stats import nbinom

    count, base = np.asarray(counts, np.float64), np.asarray(exposure, np.float64)
    kept = base > 0
    if kept[:-1].sum() < _FEWEST or not kept[-1]:
        return None
    past = kept[:-1]
    waves = _waves(len(count), seasons=int(past.sum()) >= 2 * YEAR)
    weights, covariance, mean = _poisson(waves[:-1][past], count[:-1][past], base[:-1][past])
    freedom = int(past.sum()) - waves.shape[1]
    phi = max(1.0, float(((count[:-1][past] - mean) ** 2 / mean).sum()) / freedom)
    expected = float(np.exp(waves[-1] @ weights) * base[-1])
    variance = expected * phi + (phi * float(waves[-1] @ covariance @ waves[-1]) + _DRIFT_SD**2) * expected**2
    size = expected**2 / (variance - expected)
    law = nbinom(size, size / (size + expected))
    p = float(law.sf(count[-1] - 1) if count[-1] > expected else law.cdf(count[-1]))
    return Surprise(float(count[-1]), expected, p)


def _waves(count: int, *, seasons: bool) -> NDArray[np.float64]:
    angle = 2 * np.pi * np.arange(count) / YEAR
    waves = [f(k * angle) for k in (1, 2) for f in (np.sin, np.cos)] if seasons else []
    return np.column_stack([np.ones(count), *waves])


def _poisson(
    waves: NDArray[np.float64], counts: NDArray[np.float64], exposure: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights, their covariance and the fitted means; a prior keeps single windows from making seasons."""
    weights: NDArray[np.float64] = np.zeros(waves.shape[1])
    weights[0] = np.log(max(counts.sum(), 0.5) / exposure.sum())
    ridge = np.diag([0.0, *[1 / _SEASON_SD**2] * (waves.shape[1] - 1)])
    for _ in range(50):
        mean = exposure * np.exp(np.clip(waves @ weights, -50, 50))
        curvature = waves.T @ (mean[:, None] * waves) + ridge
        step = np.linalg.solve(curvature, waves.T @ (counts - mean) - ridge @ weights)
        weights += np.asarray(np.clip(step, -1, 1), np.float64)
        if np.abs(step).max() < 1e-10:
            break
    mean = np.asarray(exposure * np.exp(waves @ weights), np.float64)
    covariance = np.asarray(np.linalg.inv(waves.T @ (mean[:, None] * waves) + ridge), np.float64)
    return weights, covariance, mean
