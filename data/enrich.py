"""What is derived at import: rank in a job title, kind of e-mail domain, completeness and person of a contact.

The functions of `data.derive` see each distinct value once; SQL carries the answers to the rows. A lead is given what
its contact data said when the row of the lead became known, never what was added to them afterwards.
"""
# ruff: noqa: S608 - only names of this module and of the contract are put into the SQL

from __future__ import annotations

from typing import TYPE_CHECKING

from data.derive import contact_facts, seniority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import duckdb

    from data.mapping import Mapping

__all__ = ["CONTACT_DERIVED", "enrich"]

CONTACT_DERIVED = ("email_domain_kind", "contact_completeness", "person_id")
_SOUND = "NOT _filtered AND _reason IS NULL"
_BATCH = 20_000


def enrich(con: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Fill the derived columns of `t_leads` and `t_contacts` that the mapping does not fill itself.

    `t_leads` also gets `_now_<column>`: what the contact data say at the time of import.
    """
    if "contacts" in mapping.tables:
        _derive_contacts(con, keep_person="person_id" in mapping.tables["contacts"].columns)
    if "leads" in mapping.tables:
        mapped = set(mapping.tables["leads"].columns)
        if "seniority" not in mapped and "job_title" in mapped:
            _derive_titles(con)
        _carry_contacts(con, [c for c in CONTACT_DERIVED if c not in mapped], known="contacts" in mapping.tables)


def _answers(
    con: duckdb.DuckDBPyConnection,
    query: str,
    table: str,
    types: dict[str, str],
    answer: Callable[..., Iterable[str | float | None]],
) -> None:
    """Create `table` with each distinct row of a query and what a pure function says to it, in batches."""
    con.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in types.items())})")
    listed = ", ".join(f"unnest(CAST(? AS {kind}[]))" for kind in types.values())
    reader = con.cursor().execute(query)
    while rows := reader.fetchmany(_BATCH):
        filled = zip(*((*row, *answer(*row)) for row in rows), strict=True)
        con.execute(f"INSERT INTO {table} SELECT {listed}", [list(column) for column in filled])


def _derive_contacts(con: duckdb.DuckDBPyConnection, *, keep_person: bool) -> None:
    def facts(name: str | None, email: str | None, phone: str | None) -> tuple[str | float | None, ...]:
        found = contact_facts(name, email, phone)
        return found.email_domain_kind, found.contact_completeness, found.person_id

    names = ("name", "email", "phone", "email_domain_kind", "contact_completeness", "person_id")
    types = {name: "DOUBLE" if name == "contact_completeness" else "VARCHAR" for name in names}
    query = f"SELECT DISTINCT name, email, phone FROM t_contacts WHERE {_SOUND}"
    _answers(con, query, "d_contacts", types, facts)
    person = "c.person_id" if keep_person else "d.person_id"
    same = " AND ".join(f"c.{name} IS NOT DISTINCT FROM d.{name}" for name in names[:3])
    con.execute(
        f"CREATE TABLE t_derived AS SELECT c.* REPLACE ({person} AS person_id), d.email_domain_kind AS _kind, "
        f"d.contact_completeness AS _complete FROM t_contacts c LEFT JOIN d_contacts d ON {same}"
    )
    con.execute("DROP TABLE t_contacts")
    con.execute("ALTER TABLE t_derived RENAME TO t_contacts")
    con.execute(
        "CREATE TABLE contact_versions AS SELECT lead_id, known_at, _kind AS email_domain_kind, "
        f"_complete AS contact_completeness, person_id FROM t_contacts WHERE {_SOUND} "
        "QUALIFY row_number() OVER (PARTITION BY lead_id, known_at ORDER BY _row) = 1"
    )


def _derive_titles(con: duckdb.DuckDBPyConnection) -> None:
    types = {"job_title": "VARCHAR", "rank": "VARCHAR"}
    query = "SELECT DISTINCT job_title FROM t_leads WHERE job_title IS NOT NULL"
    _answers(con, query, "d_titles", types, lambda title: (seniority(title),))
    con.execute(
        "CREATE TABLE t_derived AS SELECT l.* REPLACE (d.rank AS seniority) "
        "FROM t_leads l LEFT JOIN d_titles d ON l.job_title = d.job_title"
    )
    con.execute("DROP TABLE t_leads")
    con.execute("ALTER TABLE t_derived RENAME TO t_leads")


def _carry_contacts(con: duckdb.DuckDBPyConnection, derived: list[str], *, known: bool) -> None:
    """Give each lead what its contact data said at its own `known_at`, and beside it what they say now."""
    if known and derived:
        then = ", ".join(f"v.{column} AS {column}" for column in derived)
        now = ", ".join(f"{'n' if c in derived else 'l'}.{c} AS _now_{c}" for c in CONTACT_DERIVED)
        last = "row_number() OVER (PARTITION BY lead_id ORDER BY known_at DESC) = 1"
        con.execute(
            f"CREATE TABLE t_derived AS WITH dated AS (SELECT l.* REPLACE ({then}) FROM t_leads l ASOF LEFT JOIN "
            "contact_versions v ON l.lead_id = v.lead_id AND l.known_at >= v.known_at), newest AS ("
            f"SELECT * FROM contact_versions QUALIFY {last}) "
            f"SELECT l.*, {now} FROM dated l LEFT JOIN newest n ON l.lead_id = n.lead_id"
        )
    else:
        same = ", ".join(f"{column} AS _now_{column}" for column in CONTACT_DERIVED)
        con.execute(f"CREATE TABLE t_derived AS SELECT *, {same} FROM t_leads")
    con.execute("DROP TABLE t_leads")
    con.execute("ALTER TABLE t_derived RENAME TO t_leads")
