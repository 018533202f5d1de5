"""Records that look like one person: by e-mail, by phone, by company and name; how many, and how many are news.

The data model already counts leads of one person as one where the import gave them one `person_id` (by e-mail, else by
phone) or the CRM merged them. What is left, records that share a key and still count as several people, are candidates
for somebody to look at. Only counts leave the connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitoring.quality.fullness import Share

if TYPE_CHECKING:
    import duckdb

__all__ = ["KEYS", "Duplicates", "KeyCount", "count_duplicates"]

KEYS = ("email", "phone", "name")


@dataclass(frozen=True)
class KeyCount:
    """Of one key: groups of records that share it, records in them, and the people that they still count as.

    `joined` are records beyond the first that the data model already counts as somebody else's duplicate; `candidates`
    are people beyond the first in each group.
    """

    key: str
    groups: int
    records: int
    joined: int
    candidates: int


@dataclass(frozen=True)
class Duplicates:
    """By key, and over all keys: open people with a double somewhere, new records with one, both with the week before.

    `measured` is False where no contact data are kept.
    """

    keys: tuple[KeyCount, ...]
    candidates: Share
    candidates_before: Share
    new_joined: int
    new_candidates: int
    new_records: int
    measured: bool


def count_duplicates(connection: duckdb.DuckDBPyConnection) -> Duplicates:
    """Return how many records look like another one, all as known at the week's end.

    Parameters
    ----------
    connection
        On which `prepare_records` and `prepare_contact_keys` were called.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE quality_keyed AS SELECT r.moment, r.lead_id, r.primary_id, p.key, p.value "
        "FROM quality_records AS r JOIN ("
        "UNPIVOT (SELECT moment, lead_id, email_key AS email, phone_key AS phone, name_key AS name FROM quality_keys) "
        "ON email, phone, name INTO NAME key VALUE value) AS p ON p.moment = r.moment AND p.lead_id = r.lead_id"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE quality_groups AS SELECT moment, key, value, COUNT(DISTINCT lead_id) AS records, "
        "COUNT(DISTINCT primary_id) AS people FROM quality_keyed GROUP BY ALL HAVING COUNT(DISTINCT lead_id) > 1"
    )
    joined, doubled, new = _new(connection)
    now, before = _candidates(connection, "now"), _candidates(connection, "before")
    return Duplicates(
        keys=tuple(_key(connection, key) for key in KEYS),
        candidates=now,
        candidates_before=before,
        new_joined=joined,
        new_candidates=doubled,
        new_records=new,
        measured=bool(now.of),
    )


def _key(connection: duckdb.DuckDBPyConnection, key: str) -> KeyCount:
    (row,) = connection.execute(
        "SELECT COUNT(*), COALESCE(SUM(records), 0), COALESCE(SUM(records - people), 0), COALESCE(SUM(people - 1), 0) "
        "FROM quality_groups WHERE moment = 'now' AND key = ?",
        [key],
    ).fetchall()
    return KeyCount(key, *map(int, row))


def _candidates(connection: duckdb.DuckDBPyConnection, moment: str) -> Share:
    """Return how many people share a key with another one, of those with any key."""
    (row,) = connection.execute(
        "SELECT COUNT(DISTINCT k.primary_id) FILTER (WHERE g.people > 1), COUNT(DISTINCT k.primary_id) "
        "FROM quality_keyed AS k LEFT JOIN quality_groups AS g "
        "ON g.moment = k.moment AND g.key = k.key AND g.value = k.value WHERE k.moment = ?",
        [moment],
    ).fetchall()
    return Share(*map(int, row))


def _new(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    """Return the new records that are another one's duplicate, those that look like one, and all of them."""
    (row,) = connection.execute(
        "SELECT COUNT(*) FILTER (WHERE lead_id <> primary_id), "
        "COUNT(*) FILTER (WHERE lead_id = primary_id AND lead_id IN (SELECT k.lead_id FROM quality_keyed AS k "
        "JOIN quality_groups AS g ON g.moment = k.moment AND g.key = k.key AND g.value = k.value "
        "WHERE g.people > 1 AND k.moment = 'now')), COUNT(*) FROM quality_records WHERE moment = 'now' AND is_new"
    ).fetchall()
    joined, doubled, new = map(int, row)
    return joined, doubled, new
