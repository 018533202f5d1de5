"""How much of a win each touch gets by a fixed rule: the first, the last, all alike, or first and last most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from monitoring.attribution.journeys import Touch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RULES", "Weigher", "first_touch", "last_touch", "linear", "u_shaped"]

# From the touches of a journey, at least one, to a weight for each: whole numbers, not negative, not all zero.
Weigher = Callable[[Sequence[Touch]], Sequence[int]]


def first_touch(touches: Sequence[Touch]) -> Sequence[int]:
    """Give everything to the first touch.

    Examples
    --------
    >>> first_touch([Touch("web"), Touch("email")])
    [1, 0]
    """
    return [int(at == 0) for at in range(len(touches))]


def last_touch(touches: Sequence[Touch]) -> Sequence[int]:
    """Give everything to the last touch.

    Examples
    --------
    >>> last_touch([Touch("web"), Touch("email")])
    [0, 1]
    """
    return [int(at == len(touches) - 1) for at in range(len(touches))]


def linear(touches: Sequence[Touch]) -> Sequence[int]:
    """Give every touch the same.

    Examples
    --------
    >>> linear([Touch("web"), Touch("email")])
    [1, 1]
    """
    return [1] * len(touches)


def u_shaped(touches: Sequence[Touch]) -> Sequence[int]:
    """Give 40 % to the first, 40 % to the last and 20 % to those between; halves where nothing lies between.

    Examples
    --------
    >>> u_shaped([Touch("web")] * 4), u_shaped([Touch("web")] * 2), u_shaped([Touch("web")])
    ([4, 1, 1, 4], [1, 1], [1])
    """
    between = len(touches) - 2
    if between <= 0:
        return [1] * len(touches)
    return [2 * between, *[1] * between, 2 * between]


RULES: Mapping[str, Weigher] = MappingProxyType(
    {"first_touch": first_touch, "last_touch": last_touch, "linear": linear, "u_shaped": u_shaped}
)
