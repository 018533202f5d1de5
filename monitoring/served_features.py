"""Whether what was served is what training sees: feature vectors of the score history computed again, offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from data.store.scores import newest_scores
from data.tables import CUSTOM_PREFIX
from features.definitions import Filled, LeadAttribute
from features.sql import compute_features, prepare_people
from features.sql_text import quoted

if TYPE_CHECKING:
    import duckdb
    import numpy as np

    from data.store.engine import Store
    from data.store.scores import Score
    from data.warehouse import Warehouse
    from features.definitions import Catalogue

__all__ = ["ServedCheck", "check_served", "lend_columns"]

_RECENT = 10_000  # the sample is drawn from so many of the newest scores


@dataclass(frozen=True)
class ServedCheck:
    """How many served feature vectors were computed again, how many agree to the last bit, and what differs how often.

    `skipped` could not be compared: the features were erased, the bundle is gone, the warehouse does not have the lead,
    or the lead is a duplicate, for which training takes the first lead of the person.
    """

    compared: int
    agreeing: int
    skipped: int = 0
    differing: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the check as plain values for JSON."""
        return asdict(self)


def check_served(
    store: Store,
    warehouse: Warehouse,
    catalogue_of: Callable[[str], Catalogue | None],
    *,
    sample: int,
    rng: np.random.Generator,
) -> ServedCheck:
    """Compute a sample of the newest served feature vectors again from the warehouse, after a sync.

    A fact that reached the store after the score and is dated before it makes a difference that is no fault; anything
    else that differs does, and the next model would learn from other features than it is given.

    Parameters
    ----------
    store
        The open store, with the score history.
    warehouse
        What training reads.
    catalogue_of
        From the digest of a bundle to its catalogue, None where the bundle is gone.
    sample
        How many scores to compare at most.
    rng
        Which ones.
    """
    found = [given.score for given in newest_scores(store, limit=_RECENT)]
    chosen = sorted(rng.choice(len(found), size=min(sample, len(found)), replace=False).tolist()) if found else []
    by_bundle: dict[str, list[Score]] = {}
    for place in chosen:
        by_bundle.setdefault(found[place].bundle, []).append(found[place])
    compared, agreeing, differing = 0, 0, Counter[str]()
    with warehouse.connect() as connection:
        for bundle, scores in by_bundle.items():
            catalogue = catalogue_of(bundle)
            if catalogue is None:
                continue
            lend_columns(connection, catalogue)
            prepare_people(connection)
            for different in _compare(connection, catalogue, [score for score in scores if score.features]):
                compared += 1
                agreeing += not different
                differing.update(different)
    ranked = dict(sorted(differing.items(), key=lambda item: (-item[1], item[0])))
    return ServedCheck(compared, agreeing, len(chosen) - compared, ranked)


def lend_columns(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> None:
    """Give `leads` the customer's columns that a catalogue reads and this warehouse never had: all values are missing.

    Parameters
    ----------
    connection
        With the warehouse's views.
    catalogue
        Of a bundle that was trained elsewhere, or on columns that nobody has sent since.
    """
    held = {str(row[0]) for row in connection.execute("DESCRIBE SELECT * FROM memory.main.leads").fetchall()}
    lent: dict[str, str] = {}
    for feature in catalogue.features:
        compute = feature.compute
        if isinstance(compute, LeadAttribute | Filled) and compute.column.startswith(CUSTOM_PREFIX):
            numeric = feature.kind == "numeric" and not isinstance(compute, Filled)
            lent[compute.column] = "DOUBLE" if numeric else "VARCHAR"
    more = "".join(f", CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in lent.items() if name not in held)
    # A view of the session hides the one below it.
    connection.execute(f"CREATE OR REPLACE TEMP VIEW leads AS SELECT *{more} FROM memory.main.leads")  # noqa: S608 - quoted


def _compare(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, scores: list[Score]) -> list[list[str]]:
    """Return for each score that can be compared the features that differ."""
    known = [score for score in scores if _is_primary(connection, score)]
    if not known:
        return []
    connection.execute("CREATE OR REPLACE TEMP TABLE spine (row_id BIGINT, lead_id VARCHAR, as_of_us BIGINT)")
    rows = [(number, score.lead_id, score.as_of_us) for number, score in enumerate(known)]
    connection.executemany("INSERT INTO spine VALUES (?, ?, ?)", rows)
    offline = compute_features(connection, catalogue).select(list(catalogue.names)).to_pylist()
    return [
        [name for name in catalogue.names if score.features.get(name) != row[name]]
        for score, row in zip(known, offline, strict=True)
    ]


def _is_primary(connection: duckdb.DuckDBPyConnection, score: Score) -> bool:
    found = connection.execute(
        "SELECT 1 FROM people WHERE lead_id = $1 AND primary_id = $1 AND from_us <= $2 "
        "AND (until_us IS NULL OR until_us > $2) LIMIT 1",
        [score.lead_id, score.as_of_us],
    )
    return bool(found.fetchall())
