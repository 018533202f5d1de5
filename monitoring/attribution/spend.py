"""What the touches cost and how many leads they brought: spend, clicks, leads and MQLs of a period, by touch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from data.errors import DataError
from monitoring.attribution.journeys import Touch

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from monitoring.attribution.journeys import Period

__all__ = ["Counts", "Rates", "Spent", "read_counts", "read_spend"]

# The newest version of a day's cost that was known: platforms correct them.
_SPEND = """
SELECT channel, campaign, keyword, currency, CAST(SUM(CAST(ROUND(cost * 100) AS HUGEINT)) AS BIGINT),
       CAST(SUM(COALESCE(impressions, 0)) AS BIGINT), CAST(SUM(COALESCE(clicks, 0)) AS BIGINT)
FROM (SELECT * FROM spend WHERE EPOCH_US(known_at) <= $as_of
      QUALIFY ROW_NUMBER() OVER (PARTITION BY channel, campaign, keyword, day ORDER BY known_at DESC) = 1) AS s
WHERE EPOCH_US(day) >= $since AND EPOCH_US(day) < $until
GROUP BY ALL ORDER BY ALL
"""

# A person counts as a lead where the first of its leads came from, in the period in which it came.
_COUNTS = """
SELECT f.channel, f.campaign, f.keyword, COUNT(*) FILTER (WHERE f.t0_us >= $since AND f.t0_us < $until),
       COUNT(*) FILTER (WHERE q.mql_us >= $since AND q.mql_us < $until)
FROM (SELECT * FROM attribution_members
      QUALIFY ROW_NUMBER() OVER (PARTITION BY primary_id ORDER BY t0_us, created_us, lead_id) = 1) AS f
LEFT JOIN (SELECT m.primary_id, MIN(EPOCH_US(s.occurred_at)) AS mql_us
           FROM stages AS s JOIN attribution_members AS m ON m.lead_id = s.lead_id
           WHERE s.stage IN ('mql', 'sql', 'opportunity') AND EPOCH_US(s.known_at) <= $as_of
           GROUP BY m.primary_id) AS q ON q.primary_id = f.primary_id
GROUP BY ALL
HAVING COUNT(*) FILTER (WHERE f.t0_us >= $since AND f.t0_us < $until) > 0
    OR COUNT(*) FILTER (WHERE q.mql_us >= $since AND q.mql_us < $until) > 0
ORDER BY ALL
"""


@dataclass(frozen=True)
class Spent:
    """The cost of a touch in hundredths of each currency, and what was shown and clicked."""

    cost: Mapping[str, int] = field(default_factory=dict)
    impressions: int = 0
    clicks: int = 0


@dataclass(frozen=True)
class Counts:
    """People whose first lead came by a touch, and how many became MQLs (or more)."""

    leads: int = 0
    mqls: int = 0


@dataclass(frozen=True)
class Rates:
    """What one unit of each currency is worth in the currency of the report, as somebody entered it.

    Examples
    --------
    >>> Rates("USD", {"EUR": Decimal("1.09")}).converted(1000, "EUR")
    1090
    """

    currency: str
    worth: Mapping[str, Decimal]

    def converted(self, hundredths: int, currency: str) -> int:
        """Return hundredths of the report's currency, to the nearest one, halves to the even one.

        Raises
        ------
        DataError
            If nobody has entered what the currency is worth.
        """
        if currency == self.currency:
            return hundredths
        if currency not in self.worth:
            raise DataError(
                f"there is no rate from {currency} to {self.currency}",
                hint="enter it under rates in the file of figures, or leave out --currency to keep currencies apart",
            )
        return int((hundredths * self.worth[currency]).quantize(Decimal(1), rounding="ROUND_HALF_EVEN"))


def read_spend(connection: duckdb.DuckDBPyConnection, period: Period, rates: Rates | None = None) -> dict[Touch, Spent]:
    """Return what was spent on the days of the period, by channel, campaign and keyword.

    Each cost is converted as its sum; without rates currencies stay apart.
    """
    rows = connection.execute(_SPEND, _named(period)).fetchall()
    costs: defaultdict[Touch, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    seen: defaultdict[Touch, list[int]] = defaultdict(lambda: [0, 0])
    for channel, campaign, keyword, currency, cost, impressions, clicks in rows:
        touch = Touch(channel, campaign, keyword)
        told = (rates.currency, rates.converted(cost, currency)) if rates else (currency, cost)
        costs[touch][told[0]] += told[1]
        seen[touch][0] += impressions
        seen[touch][1] += clicks
    return {touch: Spent(dict(cost), *seen[touch]) for touch, cost in costs.items()}


def read_counts(connection: duckdb.DuckDBPyConnection, period: Period) -> dict[Touch, Counts]:
    """Return the leads and MQLs of the period; `prepare_members` must have been called on the connection."""
    rows = connection.execute(_COUNTS, _named(period)).fetchall()
    return {Touch(channel, campaign, keyword): Counts(leads, mqls) for channel, campaign, keyword, leads, mqls in rows}


def _named(period: Period) -> dict[str, int]:
    return {"since": period.since_us, "until": period.until_us, "as_of": period.as_of_us}
