"""The judged rows themselves, kept as a table, so that two runs can later be compared row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from data.errors import DataError
from data.files import written_whole
from training.evaluation.metrics import Floats

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from training.evaluation.judging import Judgement

__all__ = ["SPINE", "SharedRows", "judged_table", "read_judged", "shared_rows", "write_judged"]

# What says which row it is and how it ended; every other column is a method.
SPINE = ("lead_id", "as_of_us", "period_us", "cluster", "y_obs")


@dataclass(frozen=True)
class SharedRows:
    """The rows that two runs judged both, with each run's probabilities.

    `periods` says on which list a row stands (0 where there is one list); outcomes and accounts are those that one of
    the runs knew, and `changed` counts the rows of which the other knew another outcome.
    """

    periods: NDArray[np.int64]
    y_obs: NDArray[np.int64]
    clusters: NDArray[np.object_]
    first: Floats
    second: Floats
    changed: int

    def __len__(self) -> int:
        return len(self.y_obs)


def judged_table(judgement: Judgement) -> pa.Table:
    """Return one line for each judged row: lead, moment, list, account, outcome, and each method's probability.

    Moments are microseconds UTC. Probabilities were made out of time, by what was fitted on what had matured when the
    row's list was drawn up.
    """
    import pyarrow as pa

    spine = judgement.spine
    known = {
        "lead_id": pa.array(spine["lead_id"].astype(str), pa.string()),
        "as_of_us": pa.array(spine["as_of_us"].to_numpy(np.int64)),
        "period_us": pa.array(judgement.periods),
        "cluster": pa.array(spine["cluster"].astype(str), pa.string()),
        "y_obs": pa.array(spine["y_obs"].to_numpy(np.int8)),
    }
    return pa.table(known | {name: pa.array(y_pred) for name, y_pred in judgement.predictions.items()})


def write_judged(table: pa.Table, path: Path) -> Path:
    """Write a table of judged rows.

    Raises
    ------
    InfrastructureError
        If the file cannot be written.
    """
    from pyarrow import parquet

    with written_whole(path) as partial:
        parquet.write_table(table, partial)
    return path


def read_judged(path: Path) -> pa.Table:
    """Read what `write_judged` wrote.

    Raises
    ------
    DataError
        If the file is no table of judged rows.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path.name} is no Parquet file that can be read ({type(error).__name__})") from None
    missing = [name for name in SPINE if name not in table.column_names]
    if missing:
        raise DataError(f"{path.name} holds no judged rows: {', '.join(missing)} is missing")
    return table


def shared_rows(first: pa.Table, second: pa.Table, *, method: str, newer: Literal["first", "second"]) -> SharedRows:
    """Return the rows, by lead and moment, that two runs judged both, with the probabilities of one method.

    Outcomes and accounts are those of the `newer` run, which may know better.

    Raises
    ------
    DataError
        If a run did not judge the method.

    Examples
    --------
    >>> import pyarrow as pa
    >>> spine = {"lead_id": ["a", "b"], "as_of_us": [1, 1], "period_us": [1, 1], "cluster": ["x", "y"], "y_obs": [0, 1]}
    >>> one, two = pa.table(spine | {"m": [0.1, 0.2]}), pa.table(spine | {"m": [0.3, 0.4]})
    >>> shared_rows(one, two.slice(1), method="m", newer="second").first.tolist()
    [0.2]
    """
    for table in (first, second):
        if method not in table.column_names:
            raise DataError(f"a run did not judge {method!r}", hint="compare runs of `clew train` or `clew compare`")
    one, two = (table.select([*SPINE, method]).to_pandas() for table in (first, second))
    both = one.merge(two, on=["lead_id", "as_of_us"], suffixes=("_first", "_second"))
    both = both.sort_values(["as_of_us", "lead_id"], ignore_index=True)
    return SharedRows(
        periods=both[f"period_us_{newer}"].to_numpy(np.int64),
        y_obs=both[f"y_obs_{newer}"].to_numpy(np.int64),
        clusters=both[f"cluster_{newer}"].to_numpy(object),
        first=both[f"{method}_first"].to_numpy(np.float64),
        second=both[f"{method}_second"].to_numpy(np.float64),
        changed=int((both["y_obs_first"] != both["y_obs_second"]).sum()),
    )
