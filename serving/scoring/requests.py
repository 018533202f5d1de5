"""A lead of the warehouse as the request that a CRM would send for it at a moment."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.clock import from_us, iso
from data.errors import DataError
from data.tables import CUSTOM_PREFIX
from features.facts import related_leads

if TYPE_CHECKING:
    import duckdb

__all__ = ["hottest_leads", "request_of"]

_LEAD = ("source", "medium", "campaign", "keyword", "landing_page", "job_title", "country")
_ACCOUNT = ("industry", "country", "region", "employees", "annual_revenue", "founded_year")
_EVENT = ("source", "type", "content_id", "campaign", "keyword", "channel", "duration_s", "value", "lead_id")
Row = Mapping[str, Any]


def request_of(
    connection: duckdb.DuckDBPyConnection,
    lead_id: str,
    as_of_us: int,
    *,
    custom: Container[str] | None = None,
    actions: bool = False,
) -> dict[str, Any]:
    """Return the request for a lead, with its events and those of its account, as they were known at `as_of`.

    Parameters
    ----------
    connection
        To the warehouse.
    lead_id
        Any lead of a person.
    as_of_us
        The moment of the prediction, in microseconds UTC.
    custom
        Which of the customer's columns to send, without prefix; all of them by default.
    actions
        Whether to send what sales did, which only models with treatments read.

    Raises
    ------
    DataError
        If the lead is not in the warehouse, or was not known yet.
    """
    leads = _relatives(connection, lead_id)
    versions = [row for row in leads if row["lead_id"] == lead_id and row["known_at"] <= as_of_us]
    if not versions:
        raise DataError(
            "the lead is not in the warehouse, or was not known at that moment", hint="check id and --as-of"
        )
    now = max(versions, key=lambda row: row["known_at"])
    outcomes, merges = (_of_leads(connection, table, leads) for table in ("outcomes", "merges"))
    related = related_leads(lead_id, as_of_us, leads=leads, outcomes=outcomes, merges=merges)
    request: dict[str, Any] = {
        "lead": {
            "lead_id": lead_id,
            "created_at": iso(from_us(now["created_at"])),
            **_filled(now, _LEAD),
            **_contact(connection, lead_id, now),
            "custom": {
                name.removeprefix(CUSTOM_PREFIX): value
                for name, value in now.items()
                if name.startswith(CUSTOM_PREFIX)
                and value is not None
                and (custom is None or name.removeprefix(CUSTOM_PREFIX) in custom)
            },
        },
        "events": _events(connection, sorted(related.own), as_of_us),
        "as_of": iso(from_us(as_of_us)),
    }
    if actions:
        request["actions"] = _actions(connection, sorted(related.own), as_of_us)
    if related.others is not None:
        account = _account(connection, now["account_id"], as_of_us)
        events = _events(connection, sorted(related.others), as_of_us)
        titles = _job_titles(leads, as_of_us)
        people = {
            each: _filled({"person_id": person, "job_title": titles.get(each)}, ("person_id", "job_title"))
            for each, person in related.person_of.items()
        }
        request["lead"]["account"] = account | {"events": [event | people[event["lead_id"]] for event in events]}
    return request


def _job_titles(leads: Sequence[Row], as_of_us: int) -> dict[str, str | None]:
    """Return each lead's title by the version in force."""
    usable = [row for row in leads if max(row["known_at"], row["created_at"]) <= as_of_us]
    return {row["lead_id"]: row["job_title"] for row in sorted(usable, key=lambda row: int(row["known_at"]))}


def _actions(connection: duckdb.DuckDBPyConnection, lead_ids: list[str], as_of_us: int) -> list[dict[str, Any]]:
    rows = _rows(
        connection,
        """
        SELECT type, occurred_at, known_at FROM actions
        WHERE lead_id IN (SELECT UNNEST($1::VARCHAR[])) AND EPOCH_US(occurred_at) < $2 AND EPOCH_US(known_at) <= $2
        ORDER BY occurred_at, action_id
        """,
        [lead_ids, as_of_us],
    )
    moments = ("occurred_at", "known_at")
    return [{"type": row["type"]} | {name: iso(from_us(row[name])) for name in moments} for row in rows]


def hottest_leads(probabilities: Mapping[str, float], count: int) -> list[str]:
    """Return the ids of the best open leads, ties by id.

    Examples
    --------
    >>> hottest_leads({"b": 0.2, "a": 0.2, "c": 0.1}, 2)
    ['a', 'b']
    """
    return sorted(probabilities, key=lambda lead_id: (-probabilities[lead_id], lead_id))[:count]


def _rows(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object]) -> list[dict[str, Any]]:
    """Return rows as dictionaries, moments as microseconds UTC."""
    described = connection.execute(f"DESCRIBE {query}", parameters).fetchall()
    moments = [f"EPOCH_US({name}) AS {name}" for name, kind, *_ in described if kind.startswith("TIMESTAMP")]
    replaced = f"SELECT * REPLACE ({', '.join(moments)}) FROM ({query})" if moments else query  # noqa: S608 - own queries
    found = connection.execute(replaced, parameters)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _relatives(connection: duckdb.DuckDBPyConnection, lead_id: str) -> list[dict[str, Any]]:
    """Return all versions of the leads of every account it ever had, and of all that may be one person with one."""
    found = connection.execute(
        """
        SELECT DISTINCT lead_id FROM leads
        WHERE lead_id = $1 OR account_id IN (SELECT account_id FROM leads WHERE lead_id = $1)
        """,
        [lead_id],
    ).fetchall()
    known, more = set[str](), {str(row[0]) for row in found}
    while more - known:
        known |= more
        found = connection.execute(
            """
            WITH wanted AS (SELECT UNNEST($1::VARCHAR[]) AS lead_id)
            SELECT lead_id FROM leads WHERE person_id IN (SELECT person_id FROM leads JOIN wanted USING (lead_id))
            UNION SELECT m.lead_id FROM merges AS m JOIN wanted AS w ON w.lead_id = m.into_lead_id
            UNION SELECT m.into_lead_id FROM merges AS m JOIN wanted AS w ON w.lead_id = m.lead_id
            """,
            [sorted(known)],
        ).fetchall()
        more = {str(row[0]) for row in found}
    return _rows(connection, "SELECT * FROM leads WHERE lead_id IN (SELECT UNNEST($1::VARCHAR[]))", [sorted(known)])


def _of_leads(connection: duckdb.DuckDBPyConnection, table: str, leads: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows of `outcomes` or `merges` that speak of some leads."""
    wanted = sorted({row["lead_id"] for row in leads})
    query = f"SELECT * FROM {table} WHERE lead_id IN (SELECT UNNEST($1::VARCHAR[]))"  # noqa: S608 - names of the contract
    return _rows(connection, query, [wanted])


def _contact(connection: duckdb.DuckDBPyConnection, lead_id: str, now: Row) -> dict[str, dict[str, str]]:
    """Return the contact data that the version of the lead was derived from, and nothing where it was from none."""
    if now["contact_completeness"] is None:
        return {}
    rows = _rows(
        connection,
        """
        SELECT name, email, phone FROM contacts WHERE lead_id = ? AND EPOCH_US(known_at) <= ?
        ORDER BY known_at DESC LIMIT 1
        """,
        [lead_id, now["known_at"]],
    )
    return {"contact": {name: value for name, value in rows[0].items() if value is not None}} if rows else {}


def _account(connection: duckdb.DuckDBPyConnection, account_id: str, as_of_us: int) -> dict[str, Any]:
    rows = _rows(
        connection,
        "SELECT * FROM accounts WHERE account_id = ? AND EPOCH_US(known_at) <= ? ORDER BY known_at DESC LIMIT 1",
        [account_id, as_of_us],
    )
    return _filled(rows[0], _ACCOUNT) if rows else {}


def _events(connection: duckdb.DuckDBPyConnection, lead_ids: list[str], as_of_us: int) -> list[dict[str, Any]]:
    rows = _rows(
        connection,
        """
        SELECT * FROM events
        WHERE lead_id IN (SELECT UNNEST($1::VARCHAR[])) AND EPOCH_US(occurred_at) < $2 AND EPOCH_US(known_at) <= $2
        ORDER BY occurred_at, source, event_id
        """,
        [lead_ids, as_of_us],
    )
    return [
        {
            "id": row["event_id"],
            "occurred_at": iso(from_us(row["occurred_at"])),
            "known_at": iso(from_us(row["known_at"])),
            **_filled(row, _EVENT),
        }
        for row in rows
    ]


def _filled(row: Row, names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if row[name] is not None}
