"""Which leads are the same person, and since when: duplicates of one person are one lead.

A person's leads form an episode as long as each begins within `EPISODE_DAYS` of the one before; the earliest lead of
an episode (by t0, then by creation) is its primary. The rule looks backwards only: a duplicate that appears later can
never change which lead was the primary at an earlier moment.
"""

from __future__ import annotations

from data.clock import DAY_US

__all__ = ["EPISODE_DAYS", "LEAD_STARTS", "LEAD_VERSIONS", "PEOPLE"]

EPISODE_DAYS = 180

# One row a version of a lead, in force in [usable_us, next_us): an attribute may be used once it has occurred and is
# known, and gives way as soon as a version that became known later may be used.
LEAD_VERSIONS = """
SELECT u.*, MIN(u.usable_us) OVER (PARTITION BY u.lead_id ORDER BY u.known_us
                                   ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS next_us
FROM (SELECT v.*, EPOCH_US(v.created_at) AS created_us, EPOCH_US(v.known_at) AS known_us,
             GREATEST(EPOCH_US(v.created_at), EPOCH_US(v.known_at)) AS usable_us
      FROM leads AS v) AS u
"""

# One row a lead: t0 is the later of its creation and of its first being known, the moment from which any version may be
# used. Versions that may only be used later cannot move it.
LEAD_STARTS = """
SELECT lead_id, person_id, created_us, usable_us AS t0_us
FROM (SELECT lead_id, person_id, created_us, usable_us, known_us,
             ROW_NUMBER() OVER (PARTITION BY lead_id ORDER BY usable_us, known_us) AS version
      FROM lead_versions) AS first_versions
WHERE version = 1
"""

# lead_id, its episode's primary_id, and from when the two are known to be one (the t0 of the duplicate).
PEOPLE = f"""
SELECT lead_id, t0_us, created_us,
       FIRST_VALUE(lead_id) OVER (PARTITION BY person, episode ORDER BY t0_us, created_us, lead_id) AS primary_id
FROM (SELECT lead_id, t0_us, created_us, person,
             SUM(CASE WHEN gap_us IS NULL OR gap_us > {EPISODE_DAYS * DAY_US} THEN 1 ELSE 0 END)
                 OVER (PARTITION BY person ORDER BY t0_us, created_us, lead_id ROWS UNBOUNDED PRECEDING) AS episode
      FROM (SELECT lead_id, t0_us, created_us, COALESCE(person_id, 'lead:' || lead_id) AS person,
                   t0_us - LAG(t0_us) OVER (PARTITION BY COALESCE(person_id, 'lead:' || lead_id)
                                            ORDER BY t0_us, created_us, lead_id) AS gap_us
            FROM lead_starts) AS gaps) AS episodes
"""  # noqa: S608 - the only value is a constant of this module
