"""Times two functions in turns, so that a busy moment of the machine hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measured:
    """`ratio` is the peer's time over ours, larger is better; `spread` its range, of the middle half where n is large.

    `also` holds what else is worth printing.
    """

    value: float
    unit: str
    peer: float
    ratio: float
    n: int
    spread: tuple[float, float]
    also: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, to four digits."""
        return {name: _short(value) for name, value in asdict(self).items() if value != {}}


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_short(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def against(ours: Callable[[], object], peer: Callable[[], object], *, rounds: int, each: int) -> Measured:
    """Return the median time of one call of ours and of the peer, in microseconds, and peer time over ours."""
    pairs = [(_time(ours, each), _time(peer, each)) for _ in range(rounds)]
    ratios = sorted(p / o for o, p in pairs)
    return Measured(
        value=statistics.median(o for o, _ in pairs),
        unit="us",
        peer=statistics.median(p for _, p in pairs),
        ratio=statistics.median(ratios),
        n=rounds * each,
        spread=(ratios[len(ratios) // 4], ratios[(3 * len(ratios)) // 4]),
    )


def _time(call: Callable[[], object], each: int) -> float:
    started = time.perf_counter()
    for _ in range(each):
        call()
    return (time.perf_counter() - started) / each * 1e6
