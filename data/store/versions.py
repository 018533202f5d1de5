"""Where a change belongs in the history of what it changes, whatever the order in which changes arrive.

A history holds a version for each change of content. That a version was said again is no version, but the moment is
kept aside: should an older change come in late, the content that was in force after it is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.store.records import Verdict

__all__ = ["Content", "Placement", "place"]

Content = Mapping[str, object]


@dataclass(frozen=True)
class Placement:
    """What to write: new versions by the moment they were known, and the moment at which one was said again."""

    verdict: Verdict
    versions: tuple[tuple[int, Content], ...] = ()
    confirmed_us: int | None = None


def place(
    history: Sequence[tuple[int, Content]], confirmed: Sequence[int], content: Content, known_us: int
) -> Placement:
    """Return what saying `content` at `known_us` adds to a history.

    Parameters
    ----------
    history
        The versions, each with the moment it became known (microseconds UTC), in order of time.
    confirmed
        The moments at which the version then in force was said again, in order of time.
    content
        The whole new content.
    known_us
        When it became known, microseconds UTC.

    Examples
    --------
    A, then A again, then late the B that lay between: the second A becomes a version of its own.

    >>> place([(1, {"x": "A"})], [], {"x": "A"}, 3)
    Placement(verdict='unchanged', versions=(), confirmed_us=3)
    >>> late = place([(1, {"x": "A"})], [3], {"x": "B"}, 2)
    >>> late.verdict, late.versions
    ('older', ((2, {'x': 'B'}), (3, {'x': 'A'})))
    """
    before = [version for version in history if version[0] <= known_us]
    after_us = next((us for us, _ in history if us > known_us), None)
    last_us, last = before[-1] if before else (None, None)
    same = last == content
    if last_us == known_us or known_us in confirmed:
        return Placement("unchanged" if same else "conflict")
    if same:
        return Placement("unchanged", confirmed_us=known_us)
    again_us = next((us for us in confirmed if us > known_us and (after_us is None or us < after_us)), None)
    versions: tuple[tuple[int, Content], ...] = ((known_us, content),)
    if again_us is not None and last is not None:
        versions += ((again_us, last),)
    return Placement("new" if after_us is None and len(versions) == 1 else "older", versions)
