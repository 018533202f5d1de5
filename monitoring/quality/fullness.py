"""What is filled in, field by field and source by source, and who can be reached by what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitoring.quality.mix import UNKNOWN
from monitoring.quality.records import FIELDS

if TYPE_CHECKING:
    import duckdb

__all__ = ["CONTACT_FIELDS", "Completeness", "Filled", "Reach", "Share", "measure_completeness", "measure_reach"]

CONTACT_FIELDS = ("email", "phone")
_MOST_SOURCES = 8
_FEW = 10  # a share of fewer leads is noise in a table
# What systems call it, in small letters; whoever has none of these logs neither.
_BOUNCED = ("bounce", "bounced", "email_bounce", "email_bounced", "hard_bounce")
_OPTED_OUT = ("opt_out", "opted_out", "email_opt_out", "unsubscribe", "unsubscribed", "email_unsubscribed")


@dataclass(frozen=True)
class Share:
    """So many of so many, at the end of the week or in it; `rate` is None without any."""

    hits: int
    of: int

    @property
    def rate(self) -> float | None:
        """The share, 0 to 1."""
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        from training.evaluation.metrics import wilson

        return wilson(self.hits, self.of)


@dataclass(frozen=True)
class Filled:
    """How often a field is filled: among open leads, a week earlier, among new ones, and of these in each source.

    `kept` is False where no record at all carries the field: it is not part of the export, and nobody's omission.
    """

    field: str
    open: Share
    open_before: Share
    new: Share
    by_source: tuple[tuple[str, Share], ...]
    kept: bool


@dataclass(frozen=True)
class Completeness:
    """All fields, and over those that are kept the mean share filled of a new lead, with its standard error."""

    fields: tuple[Filled, ...]
    new_leads: int
    mean: float | None
    standard_error: float | None
    mean_before: float | None


def measure_completeness(connection: duckdb.DuckDBPyConnection) -> Completeness:
    """Return what is filled.

    Parameters
    ----------
    connection
        On which `prepare_records` and `prepare_contact_keys` were called.
    """
    _prepare_filled(connection)
    names = (*FIELDS, *CONTACT_FIELDS)
    sources = _sources(connection)
    fields = tuple(_filled(connection, name, sources) for name in names)
    kept = [field.field for field in fields if field.kept]
    mean, error, leads = _mean(connection, kept, "now")
    return Completeness(fields, leads, mean, error, _mean(connection, kept, "before")[0])


def _prepare_filled(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `quality_filled`: for each record and field whether it is filled, NULL where the contact is not kept."""
    columns = ", ".join(f"r.{name} IS NOT NULL AS {name}" for name in FIELDS)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE quality_filled AS SELECT r.moment, r.lead_id, r.primary_id, r.is_open, "  # noqa: S608
        f"r.is_new, COALESCE(r.source, '{UNKNOWN}') AS origin, {columns}, "
        "CASE WHEN k.lead_id IS NOT NULL THEN COALESCE(k.email_kind NOT IN ('invalid', 'disposable'), FALSE) END "
        "AS email, k.phone_usable AS phone "
        "FROM quality_records AS r LEFT JOIN quality_keys AS k ON k.moment = r.moment AND k.lead_id = r.lead_id"
    )


def _sources(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    rows = connection.execute(
        "SELECT origin FROM quality_filled WHERE moment = 'now' AND is_new GROUP BY origin "  # noqa: S608 - numbers
        f"HAVING COUNT(*) >= {_FEW} ORDER BY COUNT(*) DESC, origin LIMIT {_MOST_SOURCES}"
    ).fetchall()
    return tuple(name for (name,) in rows)


def _filled(connection: duckdb.DuckDBPyConnection, name: str, sources: tuple[str, ...]) -> Filled:
    (row,) = connection.execute(
        f"SELECT {_hits(name, 'is_open', 'now')}, {_hits(name, 'is_open', 'before')}, {_hits(name, 'is_new', 'now')}, "  # noqa: S608
        f"COALESCE(BOOL_OR({name}), FALSE) FROM quality_filled"
    ).fetchall()
    told = connection.execute(
        f"SELECT origin, COUNT(*) FILTER (WHERE {name}), COUNT({name}) FROM quality_filled "  # noqa: S608
        "WHERE moment = 'now' AND is_new GROUP BY origin"
    ).fetchall()
    found = {origin: Share(hits, of) for origin, hits, of in told}
    by_source = tuple((source, found[source]) for source in sources)
    return Filled(name, Share(*row[0:2]), Share(*row[2:4]), Share(*row[4:6]), by_source, bool(row[6]))


def _hits(name: str, which: str, moment: str) -> str:
    asked = f"{which} AND moment = '{moment}'"
    return f"COUNT(*) FILTER (WHERE {name} AND {asked}), COUNT({name}) FILTER (WHERE {asked})"


def _mean(
    connection: duckdb.DuckDBPyConnection, kept: list[str], moment: str
) -> tuple[float | None, float | None, int]:
    """Return the mean share filled of a new lead, its standard error, and of how many leads."""
    if not kept:
        return None, None, 0
    score = " + ".join(f"COALESCE({name}::INT, 0)" for name in kept)
    known = " + ".join(f"({name} IS NOT NULL)::INT" for name in kept)
    (row,) = connection.execute(
        f"SELECT AVG(s), STDDEV_SAMP(s) / SQRT(COUNT(*)), COUNT(*) FROM (SELECT ({score}) / ({known}) AS s "  # noqa: S608
        "FROM quality_filled WHERE is_new AND moment = ?) AS each_lead",
        [moment],
    ).fetchall()
    return row[0], row[1], int(row[2])


@dataclass(frozen=True)
class Reach:
    """People with open leads: how many can be reached, and by what; `before` is the share a week earlier.

    Of people whose contact data are not kept (never imported, or deleted by `clew retain`) nothing is said; they are
    `unknown`. `bounced` and `opted_out` are None where no system logs such things.
    """

    reachable: Share
    before: Share
    email_only: int
    phone_only: int
    both: int
    neither: int
    unknown: int
    bounced: int | None
    opted_out: int | None


def measure_reach(connection: duckdb.DuckDBPyConnection) -> Reach:
    """Return who can be reached: by an e-mail address of usable form that has not come back, or by a phone number.

    Whoever opted out may still be called; an address that bounced is none.

    Parameters
    ----------
    connection
        On which `prepare_records` and `measure_completeness` were called.
    """
    _prepare_marks(connection)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE quality_reach AS
        SELECT f.moment, f.primary_id, BOOL_OR(f.phone) AS phone, BOOL_OR(f.is_open) AS is_open,
               BOOL_OR(f.email) AND NOT BOOL_OR(b.bounced) AND NOT BOOL_OR(b.opted_out) AS email,
               BOOL_OR(b.bounced) AS bounced, BOOL_OR(b.opted_out) AS opted_out
        FROM quality_filled AS f JOIN ({_marked()}) AS b ON b.moment = f.moment AND b.lead_id = f.lead_id
        GROUP BY f.moment, f.primary_id
        """  # noqa: S608 - words of this module
    )
    now, before = _reached(connection, "now"), _reached(connection, "before")
    return Reach(
        reachable=Share(sum(now[:3]), sum(now[:4])),
        before=Share(sum(before[:3]), sum(before[:4])),
        both=now[0],
        email_only=now[1],
        phone_only=now[2],
        neither=now[3],
        unknown=now[4],
        bounced=now[5] if _is_logged(connection, _BOUNCED) else None,
        opted_out=now[6] if _is_logged(connection, _OPTED_OUT) else None,
    )


def _reached(connection: duckdb.DuckDBPyConnection, moment: str) -> tuple[int, ...]:
    (row,) = connection.execute(
        "SELECT COUNT(*) FILTER (WHERE email AND phone), COUNT(*) FILTER (WHERE email AND NOT phone), "
        "COUNT(*) FILTER (WHERE phone AND NOT email), COUNT(*) FILTER (WHERE NOT phone AND NOT email), "
        "COUNT(*) FILTER (WHERE phone IS NULL), COUNT(*) FILTER (WHERE bounced), COUNT(*) FILTER (WHERE opted_out) "
        "FROM quality_reach WHERE is_open AND moment = ?",
        [moment],
    ).fetchall()
    return tuple(int(value) for value in row)


def _listed(types: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in types)


def _prepare_marks(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `quality_marks`: bounces and optings out that any system had logged by the end of the last week."""
    chosen = " UNION ALL ".join(
        "SELECT lead_id, LOWER(type) AS type, EPOCH_US(occurred_at) AS at_us, EPOCH_US(known_at) AS known_us "  # noqa: S608
        f"FROM {table} WHERE LOWER(type) IN ({_listed(_BOUNCED + _OPTED_OUT)}) "
        "AND EPOCH_US(known_at) <= (SELECT MAX(end_us) FROM quality_moments)"
        for table in ("events", "actions")
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE quality_marks AS {chosen}")


def _marked() -> str:
    """Return SQL for each record and moment: whether a bounce or an opting out was known by its end."""
    return f"""
        SELECT r.moment, r.lead_id, COALESCE(BOOL_OR(e.type IN ({_listed(_BOUNCED)})), FALSE) AS bounced,
               COALESCE(BOOL_OR(e.type IN ({_listed(_OPTED_OUT)})), FALSE) AS opted_out
        FROM quality_records AS r
        LEFT JOIN quality_marks AS e ON e.lead_id = r.lead_id AND e.at_us < r.end_us AND e.known_us <= r.end_us
        GROUP BY r.moment, r.lead_id
        """  # noqa: S608 - words of this module


def _is_logged(connection: duckdb.DuckDBPyConnection, types: tuple[str, ...]) -> bool:
    """Tell whether any system logs such a thing at all."""
    query = f"SELECT 1 FROM quality_marks WHERE type IN ({_listed(types)}) LIMIT 1"  # noqa: S608 - words of this module
    return bool(connection.execute(query).fetchall())
