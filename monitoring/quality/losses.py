"""Where the funnel loses leads, by the reason that was entered, with the weeks before and what it cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from monitoring.quality.fullness import Share
from monitoring.quality.mix import Count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

    from monitoring.cards.card import Move
    from monitoring.quality.scores import LastScore
    from monitoring.quality.weeks import Weeks

__all__ = ["NO_REASON", "Loss", "LossReason", "Losses", "gather_losses", "read_losses"]

NO_REASON, _OTHERS = "(no reason)", "(others)"
_MOST_REASONS = 8
How = Literal["lost", "rejected"]


@dataclass(frozen=True)
class Loss:
    """A lead that was lost, or sent back by sales, in the period `week` (0 is the oldest); `end_us` is when."""

    week: int
    how: How
    reason: str
    lead_id: str
    end_us: int


@dataclass(frozen=True)
class LossReason:
    """One reason: how many a week, oldest first, its share of the last week's losses, and whether that is news.

    `usual` is its share over the weeks before; `expected_wins` what the leads of the last week promised by their last
    score before, None where they had none.
    """

    how: How
    reason: str
    weekly: tuple[int, ...]
    share: Share
    usual: float | None
    move: Move
    expected_wins: float | None


@dataclass(frozen=True)
class Losses:
    """All losses of the week with the week before, by reason; `scored` says of how many a promise is known."""

    lost: Count
    rejected: Count
    reasons: tuple[LossReason, ...]
    expected_wins: float | None
    scored: int

    @property
    def unexplained(self) -> int:
        """The losses of the week for which nobody entered a reason."""
        return sum(one.weekly[-1] for one in self.reasons if one.reason == NO_REASON)


def read_losses(connection: duckdb.DuckDBPyConnection, weeks: Weeks) -> tuple[Loss, ...]:
    """Return the losses of all weeks, each in the week in which it had happened and was known.

    An outcome that was taken back within its week counts for nothing.

    Parameters
    ----------
    connection
        With the warehouse's views.
    weeks
        The periods.
    """
    values = ", ".join(f"({at}, {p.since_us}, {p.until_us})" for at, p in enumerate(weeks.periods))
    rows = connection.execute(
        f"""
        WITH week (number, since_us, until_us) AS (VALUES {values}),
        said AS (
            SELECT lead_id, outcome, reason, EPOCH_US(closed_at) AS at_us, EPOCH_US(known_at) AS known_us,
                   LEAD(EPOCH_US(known_at)) OVER (PARTITION BY lead_id ORDER BY known_at) AS next_us FROM outcomes),
        ends AS (
            SELECT 'lost' AS how, lead_id, reason, at_us, known_us, next_us FROM said WHERE outcome = 'lost'
            UNION ALL
            SELECT 'rejected', lead_id, reason, EPOCH_US(occurred_at), EPOCH_US(known_at), NULL FROM actions
            WHERE type IN ('rejected', 'recycled'))
        SELECT w.number, e.how, COALESCE(NULLIF(TRIM(e.reason), ''), '{NO_REASON}'), e.lead_id, e.at_us
        FROM ends AS e JOIN week AS w
          ON GREATEST(e.at_us, e.known_us) >= w.since_us AND GREATEST(e.at_us, e.known_us) < w.until_us
         AND (e.next_us IS NULL OR e.next_us >= w.until_us)
        ORDER BY ALL
        """  # noqa: S608 - numbers and words of this module
    ).fetchall()
    return tuple(Loss(*row) for row in rows)


def gather_losses(losses: Sequence[Loss], *, weeks: int, scores: Mapping[str, LastScore] | None) -> Losses:
    """Return the losses by reason.

    Parameters
    ----------
    losses
        Of all weeks.
    weeks
        How many there are.
    scores
        The last score of each lead of the last week before its end; None where no score is known at all.

    Examples
    --------
    >>> told = [Loss(0, "lost", "price", "a", 1), Loss(1, "lost", "price", "b", 2), Loss(1, "lost", "budget", "c", 3)]
    >>> found = gather_losses(told, weeks=2, scores=None)
    >>> [(one.reason, one.weekly, one.usual, one.move) for one in found.reasons]
    [('budget', (0, 1), 0.0, 'level'), ('price', (1, 1), 1.0, 'level')]
    """
    names = _kept(losses, weeks - 1)
    counts = Counter((loss.week, *_named(loss, names)) for loss in losses)
    totals = Counter((loss.week, loss.how) for loss in losses)
    keys = sorted({key[1:] for key in counts}, key=lambda key: (-counts[weeks - 1, *key], key))
    promised = _promised(losses, weeks, scores)
    reasons = []
    for how, reason in keys:
        weekly = tuple(counts[week, how, reason] for week in range(weeks))
        total, past = totals[weeks - 1, how], sum(totals[week, how] for week in range(weeks - 1))
        usual = Share(sum(weekly[:-1]), past)
        share = Share(weekly[-1], total)
        told = [promised[loss.lead_id] for loss in losses if _is_last(loss, weeks, how, reason, names) in promised]
        cost = sum(told) if told else None
        reasons.append(LossReason(how, reason, weekly, share, usual.rate, _moved(share, usual), cost))
    last, before = weeks - 1, weeks - 2
    return Losses(
        Count(totals[last, "lost"], totals[before, "lost"]),
        Count(totals[last, "rejected"], totals[before, "rejected"]),
        tuple(reasons),
        sum(promised.values()) if promised else None,
        len(promised),
    )


def _kept(losses: Sequence[Loss], last: int) -> frozenset[tuple[str, str]]:
    """Return the reasons that stand by themselves, the commonest of the last week first; the rest is put together."""
    total = Counter((loss.how, loss.reason) for loss in losses)
    now = Counter((loss.how, loss.reason) for loss in losses if loss.week == last)
    return frozenset(sorted(total, key=lambda key: (-now[key], -total[key], key))[:_MOST_REASONS])


def _named(loss: Loss, names: frozenset[tuple[str, str]]) -> tuple[How, str]:
    return loss.how, loss.reason if (loss.how, loss.reason) in names else _OTHERS


def _is_last(loss: Loss, weeks: int, how: str, reason: str, names: frozenset[tuple[str, str]]) -> str | None:
    """Return the lead of a loss of the last week for that reason, None for any other one."""
    return loss.lead_id if loss.week == weeks - 1 and _named(loss, names) == (how, reason) else None


def _promised(losses: Sequence[Loss], weeks: int, scores: Mapping[str, LastScore] | None) -> dict[str, float]:
    """Return what the leads lost in the last week had promised; a duplicate lives on in its other record."""
    found = {}
    for loss in losses:
        score = (scores or {}).get(loss.lead_id)
        counts = loss.week == weeks - 1 and loss.how == "lost" and loss.reason.lower() != "duplicate"
        if counts and score is not None and score.probability is not None:
            found[loss.lead_id] = score.probability
    return found


def _moved(share: Share, usual: Share) -> Move:
    """Return whether a share left what was usual: where the 95 % intervals of both do not meet, chance is no reason."""
    if not usual.of or not share.of:
        return "level"
    (low, high), (usual_low, usual_high) = share.interval, usual.interval
    if low > usual_high:
        return "up"
    return "down" if high < usual_low else "level"
