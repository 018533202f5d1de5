"""The leads of a week in two tables: every record that was open or new, as it stood and was known at the week's end.

`quality_records(moment, lead_id, primary_id, is_open, is_new, source, industry, ...)` has a row for each week (`now`,
`before`) and record: duplicates of a person are several records, the one with `is_open` speaks for the person.
`quality_contacts(moment, lead_id, contact, name, email, phone, company)` has their contact data; it never leaves the
connection but for `monitoring.quality.contacts`, which makes keys and kinds of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.snapshots import open_leads

if TYPE_CHECKING:
    import duckdb

    from monitoring.quality.weeks import Weeks

__all__ = ["FIELDS", "MOMENTS", "prepare_records"]

MOMENTS = ("before", "now")
# What somebody needs in order to judge and to call a lead; e-mail and phone are looked at by their form.
FIELDS = ("source", "job_title", "country", "account", "industry", "employees", "owner")

_RECORDS = """
CREATE OR REPLACE TEMP TABLE quality_records AS
WITH told AS (
    SELECT m.moment, m.end_us, p.lead_id, p.primary_id,
           o.lead_id IS NOT NULL AND p.lead_id = p.primary_id AS is_open,
           p.t0_us >= m.start_us AND p.t0_us < m.end_us AS is_new
    FROM quality_moments AS m
    JOIN people AS p ON p.from_us <= m.end_us AND (p.until_us IS NULL OR p.until_us > m.end_us)
         AND (p.away_us IS NULL OR p.away_us > m.end_us)
    LEFT JOIN quality_open AS o ON o.moment = m.moment AND o.lead_id = p.primary_id
    WHERE o.lead_id IS NOT NULL OR (p.t0_us >= m.start_us AND p.t0_us < m.end_us)),
company AS (
    SELECT m.moment, a.account_id, a.name, a.industry, a.employees
    FROM quality_moments AS m JOIN accounts AS a ON EPOCH_US(a.known_at) <= m.end_us
    QUALIFY ROW_NUMBER() OVER (PARTITION BY m.moment, a.account_id ORDER BY a.known_at DESC) = 1)
SELECT t.moment, t.lead_id, t.primary_id, t.is_open, t.is_new, t.end_us,
       NULLIF(v.source, '') AS source, NULLIF(v.job_title, '') AS job_title,
       NULLIF(v.country, '') AS country, NULLIF(v.account_id, '') AS account, NULLIF(c.industry, '') AS industry,
       c.employees, NULLIF(v.owner_id, '') AS owner, NULLIF(c.name, '') AS company
FROM told AS t
JOIN lead_versions AS v ON v.lead_id = t.lead_id AND v.usable_us <= t.end_us
     AND (v.next_us IS NULL OR v.next_us > t.end_us)
LEFT JOIN company AS c ON c.moment = t.moment AND c.account_id = v.account_id
"""

_CONTACTS = """
CREATE OR REPLACE TEMP TABLE quality_contacts AS
SELECT r.moment, r.lead_id, r.lead_id || '/' || EPOCH_US(c.known_at) AS contact, c.name, c.email, c.phone, r.company
FROM quality_records AS r JOIN contacts AS c ON c.lead_id = r.lead_id AND EPOCH_US(c.known_at) <= r.end_us
QUALIFY ROW_NUMBER() OVER (PARTITION BY r.moment, r.lead_id ORDER BY c.known_at DESC) = 1
"""


def prepare_records(connection: duckdb.DuckDBPyConnection, weeks: Weeks) -> None:
    """Make both tables, and `quality_moments(moment, start_us, end_us)` and `people`.

    Parameters
    ----------
    connection
        With the warehouse's views.
    weeks
        Which weeks are told.
    """
    bounds = dict(zip(MOMENTS, (weeks.before, weeks.now), strict=True))
    connection.execute("CREATE OR REPLACE TEMP TABLE quality_moments (moment VARCHAR, start_us BIGINT, end_us BIGINT)")
    connection.execute("CREATE OR REPLACE TEMP TABLE quality_open (moment VARCHAR, lead_id VARCHAR)")
    for moment, period in bounds.items():
        connection.execute("INSERT INTO quality_moments VALUES (?, ?, ?)", [moment, period.since_us, period.until_us])
        open_leads(connection, as_of_us=period.until_us)
        connection.execute("INSERT INTO quality_open SELECT ?, lead_id FROM spine", [moment])
    connection.execute(_RECORDS)
    connection.execute(_CONTACTS)
