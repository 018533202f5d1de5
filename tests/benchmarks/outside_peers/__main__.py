"""Print a table and one JSON object a data set: `python -m tests.benchmarks.outside_peers [NAME ...]`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.table import Table

from data.console import show_error, step
from data.errors import ClewError
from tests.benchmarks.outside_peers.comparing import FOLDERS, SHOWN, Compared, compared, mean_difference
from training.evaluation.judging import MODEL

if TYPE_CHECKING:
    from training.evaluation.bootstrap import Interval

# A broken figure cannot be read; where standard error is no terminal, 80 columns would be taken.
_WIDE = 110


def table_of(found: Compared) -> Table:
    """Return the figures of one data set for eyes."""
    table = Table(title=f"{found.name}: {found.fitted:,} rows fitted, {found.n:,} judged with {found.wins:,} won")
    for head in ("method", "ROC-AUC", "clew - it", "log loss", "clew - it"):
        table.add_column(head, justify="left" if head == "method" else "right")
    for method in found.replicates.methods:
        cells = []
        for metric in SHOWN:
            cells.append(f"{found.replicates.interval(method, metric).value:.4f}")
            own = method == MODEL
            cells.append("" if own else _written(found.replicates.difference(MODEL, metric, to=method)))
        table.add_row(method, *cells)
    return table


def _written(found: Interval) -> str:
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def main(arguments: list[str]) -> int:
    """Compare on the named data sets, by default on all of them, then say the mean differences."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.outside_peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FOLDERS)}; all without any")
    parser.add_argument("--seconds", type=float, default=60.0, help="FLAML's time budget")
    parser.add_argument("--threads", type=int, default=2, help="of CatBoost and FLAML")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.names) - FOLDERS.keys()):
        parser.error(f"no data set {', '.join(unknown)}; there are {', '.join(FOLDERS)}")
    found = []
    for name in asked.names or FOLDERS:
        try:
            with step(name) as tell:
                found.append(compared(name, seconds=asked.seconds, threads=asked.threads, progress=tell))
        except ClewError as error:
            show_error(error)
            return error.exit_code
        except pytest.skip.Exception as absent:
            sys.stderr.write(f"{absent}\n")
            return 2
        Console(stderr=True, width=_WIDE).print(table_of(found[-1]))
        print(json.dumps(found[-1].as_dict()), flush=True)
    means = {p: {metric: mean_difference(found, metric, to=p) for metric in SHOWN} for p in found[0].peers}
    print(json.dumps({"name": "mean over data sets", "sets": len(found), "clew_minus": means}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
