"""Times two functions in turns, so that a busy moment of the machine hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Measured:
    """`ratio` is clew over its peer, larger is better; `spread` is the range of the middle half of the ratios."""

    value: float
    unit: str
    peer: float
    ratio: float
    n: int
    spread: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, to four digits."""
        told = asdict(self)
        return {k: [float(f"{x:.4g}") for x in v] if isinstance(v, tuple) else v for k, v in told.items()} | {
            k: float(f"{told[k]:.4g}") for k in ("value", "peer", "ratio")
        }


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
