"""The named measures that a baseline may ask for: each a fixed question to the warehouse, nothing that is evaluated.

All speak of people, not of lead records, and of what was known at the report's `as_of`. A measure that waits for
something (an answer within 24 hours, a win within 90 days) looks at those who entered that much earlier, so that nobody
counts who had no time yet: its people entered in `[since - wait, until - wait)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from data.clock import DAY_US
from data.errors import DataError
from monitoring.attribution.journeys import Period, prepare_members
from monitoring.attribution.spend import Rates, read_spend

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

__all__ = ["MEASURES", "Context", "Measure", "Measured", "Missing", "prepare_steps"]

Missing = Literal["no_rows", "no_such_log", "currencies", "not_entered", "too_old"]


@dataclass(frozen=True)
class Measured:
    """A value, of how many where it is a share (`hits` of `of`), or why there is none; `detail` explains it by name."""

    value: float | None
    hits: int | None = None
    of: int | None = None
    missing: Missing | None = None
    detail: tuple[tuple[str, float], ...] = ()

    @classmethod
    def share(cls, hits: int, of: int) -> Measured:
        """Return a share, which is missing where there is nobody to speak of.

        Examples
        --------
        >>> Measured.share(1, 4).value, Measured.share(0, 0).missing
        (0.25, 'no_rows')
        """
        return cls(hits / of, hits, of) if of else cls(None, missing="no_rows")


@dataclass(frozen=True)
class Context:
    """Where a measure asks: a connection on which `prepare_steps` was called, the period, and rates if any."""

    connection: duckdb.DuckDBPyConnection
    period: Period
    rates: Rates | None = None

    def row(self, query: str, *, wait_us: int = 0) -> tuple[Any, ...]:
        """Return the only row of a query over `$since` and `$until`, both earlier by the wait."""
        bounds = {"since": self.period.since_us - wait_us, "until": self.period.until_us - wait_us}
        (row,) = self.connection.execute(query, bounds).fetchall()
        return tuple(row)

    def has(self, query: str) -> bool:
        """Tell whether a query finds anything at all."""
        return bool(self.connection.execute(f"{query} LIMIT 1").fetchall())

    def amounts(self, told: Mapping[str, int]) -> int | None:
        """Return hundredths in one currency, None where several would be mixed."""
        if self.rates:
            try:
                return sum(self.rates.converted(cents, currency) for currency, cents in told.items())
            except DataError:
                return None
        return sum(told.values()) if len(told) <= 1 else None


@dataclass(frozen=True)
class Measure:
    """A named measure; a `share` lies between 0 and 1 and is shown in per cent."""

    kind: Literal["share", "number"]
    ask: Callable[[Context], Measured]


# One row a person, and when each step was first reached; whoever skips a step has passed it.
_STEPS = """
WITH told AS (
    SELECT m.primary_id, s.stage, EPOCH_US(s.occurred_at) AS at_us
    FROM stages AS s JOIN attribution_members AS m ON m.lead_id = s.lead_id WHERE EPOCH_US(s.known_at) <= $as_of),
done AS (
    SELECT m.primary_id, a.type, EPOCH_US(a.occurred_at) AS at_us
    FROM actions AS a JOIN attribution_members AS m ON m.lead_id = a.lead_id WHERE EPOCH_US(a.known_at) <= $as_of),
stage AS (
    SELECT primary_id, MIN(at_us) FILTER (WHERE stage IN ('mql', 'sql', 'opportunity')) AS mql_us,
           MIN(at_us) FILTER (WHERE stage IN ('sql', 'opportunity')) AS sql_us,
           MIN(at_us) FILTER (WHERE stage = 'opportunity') AS opportunity_us,
           MIN(at_us) FILTER (WHERE stage = 'called') AS called_us
    FROM told GROUP BY primary_id),
act AS (
    SELECT primary_id, MIN(at_us) FILTER (WHERE type = 'assigned') AS assigned_us,
           MIN(at_us) FILTER (WHERE type = 'accepted') AS accepted_us,
           MIN(at_us) FILTER (WHERE type = 'called') AS called_us
    FROM done GROUP BY primary_id),
origin AS (
    SELECT primary_id, channel FROM attribution_members
    QUALIFY ROW_NUMBER() OVER (PARTITION BY primary_id ORDER BY t0_us, created_us, lead_id) = 1)
SELECT e.primary_id, e.began_us, o.channel, e.amount, e.currency, CASE WHEN e.won THEN e.end_us END AS won_us,
       LEAST(s.mql_us, won_us) AS mql_us, LEAST(s.sql_us, won_us) AS sql_us,
       LEAST(s.opportunity_us, won_us) AS opportunity_us, a.assigned_us, a.accepted_us,
       LEAST(s.called_us, a.called_us) AS called_us
FROM attribution_ends AS e JOIN origin AS o ON o.primary_id = e.primary_id
LEFT JOIN stage AS s ON s.primary_id = e.primary_id LEFT JOIN act AS a ON a.primary_id = e.primary_id
"""


def prepare_steps(connection: duckdb.DuckDBPyConnection, as_of_us: int) -> None:
    """Make `steps`, one row a person, and `known_events`, the events with their person, as known at a moment."""
    prepare_members(connection, Period(0, as_of_us + 1, as_of_us))  # a win at this very moment is known
    connection.execute(f"CREATE OR REPLACE TEMP TABLE steps AS {_STEPS}", {"as_of": as_of_us})
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE known_events AS "
        "SELECT m.primary_id, e.type, EPOCH_US(e.occurred_at) AS at_us FROM events AS e "
        "JOIN attribution_members AS m ON m.lead_id = e.lead_id "
        "WHERE EPOCH_US(e.known_at) <= $as_of AND EPOCH_US(e.occurred_at) < $as_of",
        {"as_of": as_of_us},
    )


def _within(start: str, end: str, wait_us: int, *, needs: str = "") -> Callable[[Context], Measured]:
    """Return the share of those who reached one step that reached the other within a wait (or had before)."""
    query = (
        f"SELECT COUNT(*) FILTER (WHERE {end} <= {start} + {wait_us}), COUNT(*) FROM steps "  # noqa: S608 - this module's words
        f"WHERE {start} >= $since AND {start} < $until"
    )

    def ask(context: Context) -> Measured:
        if needs and not context.has(needs):
            return Measured(None, missing="no_such_log")
        return Measured.share(*context.row(query, wait_us=wait_us))

    return ask


def _people_with(of: tuple[str, ...], hits: tuple[str, ...], *, wait_us: int = 0) -> Callable[[Context], Measured]:
    """Return the share of the people with some events in the period who also had others, up to `wait_us` after."""

    def listed(types: tuple[str, ...]) -> str:
        return ", ".join(f"'{name}'" for name in types)

    query = (
        "SELECT COUNT(DISTINCT h.primary_id), COUNT(DISTINCT o.primary_id) "  # noqa: S608 - this module's words
        f"FROM (SELECT primary_id, MIN(at_us) AS at_us FROM known_events WHERE type IN ({listed(of)}) "
        "      AND at_us >= $since AND at_us < $until GROUP BY primary_id) AS o "
        f"LEFT JOIN known_events AS h ON h.primary_id = o.primary_id AND h.type IN ({listed(hits)}) "
        + (
            f"AND h.at_us >= o.at_us AND h.at_us < o.at_us + {wait_us}"
            if wait_us
            else "AND h.at_us >= $since AND h.at_us < $until"
        )
    )
    logs = [f"SELECT 1 FROM known_events WHERE type IN ({listed(types)})" for types in (of, hits)]  # noqa: S608

    def ask(context: Context) -> Measured:
        if not all(context.has(log) for log in logs):
            return Measured(None, missing="no_such_log")
        return Measured.share(*context.row(query, wait_us=wait_us))

    return ask


def _profile_refresh(context: Context) -> Measured:
    """Return the share of the companies with new leads whose newest version was at most 90 days old at the end."""
    known = f"EPOCH_US(known_at) < $until AND EPOCH_US(known_at) >= $until - {90 * DAY_US}"
    return Measured.share(
        *context.row(
            f"SELECT COUNT(*) FILTER (WHERE f.account_id IS NOT NULL), COUNT(*) FROM "  # noqa: S608 - this module's words
            "(SELECT DISTINCT account_id FROM attribution_members WHERE account_id IS NOT NULL "
            " AND t0_us >= $since AND t0_us < $until) AS n "
            f"LEFT JOIN (SELECT DISTINCT account_id FROM accounts WHERE {known}) AS f ON f.account_id = n.account_id"
        )
    )


def _spend(context: Context) -> tuple[dict[str, dict[str, int]], int, int, dict[str, int]]:
    """Return cost by channel and currency, impressions and the clicks among them, and the clicks by channel."""
    costs: dict[str, dict[str, int]] = {}
    shown = clicked = 0
    clicks: dict[str, int] = {}
    for touch, spent in read_spend(context.connection, context.period).items():
        told = costs.setdefault(touch.channel, {})
        for currency, cents in spent.cost.items():
            told[currency] = told.get(currency, 0) + cents
        if spent.impressions:
            shown, clicked = shown + spent.impressions, clicked + spent.clicks
        if spent.clicks:
            clicks[touch.channel] = clicks.get(touch.channel, 0) + spent.clicks
    return costs, shown, clicked, clicks


def _summed(costs: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for told in costs.values():
        for currency, cents in told.items():
            total[currency] = total.get(currency, 0) + cents
    return total


def _won(context: Context) -> dict[str, dict[str, int]]:
    """Return the amounts won in the period in hundredths, by the channel of the person's first lead and currency."""
    rows = context.connection.execute(
        "SELECT channel, COALESCE(currency, 'none'), CAST(SUM(ROUND(amount * 100)) AS BIGINT) FROM steps "
        "WHERE won_us >= $since AND won_us < $until AND amount IS NOT NULL GROUP BY ALL",
        {"since": context.period.since_us, "until": context.period.until_us},
    ).fetchall()
    won: dict[str, dict[str, int]] = {}
    for channel, currency, cents in rows:
        won.setdefault(channel, {})[currency] = cents
    return won


def _cost_per_mql(context: Context) -> Measured:
    costs = _summed(_spend(context)[0])
    cost = context.amounts(costs)
    ((mqls,),) = [context.row("SELECT COUNT(*) FROM steps WHERE mql_us >= $since AND mql_us < $until")]
    if cost is None:
        return Measured(None, missing="currencies")
    if not costs or not mqls:
        return Measured(None, missing="no_rows")
    return Measured(cost / 100 / mqls)


def _roi(context: Context) -> Measured:
    costs, won = _summed(_spend(context)[0]), _summed(_won(context))
    if not sum(costs.values()):
        return Measured(None, missing="no_rows")
    if not context.rates and len({*costs, *won}) > 1:
        return Measured(None, missing="currencies")
    cost, earned = context.amounts(costs), context.amounts(won)
    if cost is None or earned is None:
        return Measured(None, missing="currencies")
    return Measured(earned / cost)


def _efficient_spend(context: Context) -> Measured:
    """Return the share of the spend in channels that earned it back, with every channel's ROI from best to worst."""
    costs, won = _spend(context)[0], _won(context)
    if not context.rates and len({*_summed(costs), *_summed({c: won[c] for c in costs if c in won})}) > 1:
        return Measured(None, missing="currencies")
    roi: dict[str, float] = {}
    total = efficient = 0
    for channel, told in costs.items():
        cost, earned = context.amounts(told), context.amounts(won.get(channel, {}))
        if cost is None or earned is None:
            return Measured(None, missing="currencies")
        if cost:
            roi[channel] = earned / cost
            total, efficient = total + cost, efficient + (cost if earned >= cost else 0)
    if not total:
        return Measured(None, missing="no_rows")
    ranking = tuple(sorted(roi.items(), key=lambda pair: (-pair[1], pair[0])))
    return Measured(efficient / total, detail=ranking)


def _click_rate(context: Context) -> Measured:
    _, shown, clicked, _ = _spend(context)
    return Measured.share(min(clicked, shown), shown)


def _click_to_mql(context: Context) -> Measured:
    clicks = _spend(context)[3]
    rows = context.connection.execute(
        "SELECT channel, COUNT(*) FROM steps WHERE mql_us >= $since AND mql_us < $until GROUP BY channel",
        {"since": context.period.since_us, "until": context.period.until_us},
    ).fetchall()
    mqls = sum(count for channel, count in rows if channel in clicks)
    return Measured.share(min(mqls, sum(clicks.values())), sum(clicks.values()))


_CALLS = "SELECT 1 FROM steps WHERE called_us IS NOT NULL"
_ASSIGNED = "SELECT 1 FROM steps WHERE assigned_us IS NOT NULL"
_ACCEPTED = "SELECT 1 FROM steps WHERE accepted_us IS NOT NULL"

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "profile_refresh": Measure("share", _profile_refresh),
        "download_rate": Measure(
            "share", _people_with(("page_view", "content_view", "price_page_view"), ("whitepaper_download",))
        ),
        "cost_per_mql": Measure("number", _cost_per_mql),
        "attendance_rate": Measure(
            "share", _people_with(("webinar_registered",), ("webinar_attended",), wait_us=30 * DAY_US)
        ),
        "interaction_rate": Measure("share", _people_with(("email_open",), ("email_click",))),
        "efficient_spend": Measure("share", _efficient_spend),
        "handed_over_24h": Measure("share", _within("mql_us", "assigned_us", DAY_US, needs=_ASSIGNED)),
        "accepted": Measure(
            # mql_us + assigned_us is null where either is, which GREATEST would not be.
            "share",
            _within(
                "(CASE WHEN mql_us + assigned_us IS NOT NULL THEN GREATEST(mql_us, assigned_us) END)",
                "accepted_us",
                7 * DAY_US,
                needs=_ACCEPTED,
            ),
        ),
        "first_response_24h": Measure("share", _within("mql_us", "called_us", DAY_US, needs=_CALLS)),
        "click_rate": Measure("share", _click_rate),
        "click_to_mql": Measure("share", _click_to_mql),
        "mql_to_sql": Measure("share", _within("mql_us", "sql_us", 30 * DAY_US)),
        "sql_to_opportunity": Measure("share", _within("sql_us", "opportunity_us", 30 * DAY_US)),
        "opportunity_to_won": Measure("share", _within("opportunity_us", "won_us", 90 * DAY_US)),
        "roi": Measure("number", _roi),
    }
)
