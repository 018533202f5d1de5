"""The command `compare`: the rolling scoreboard of a cutoff, or two recorded runs against each other."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.console import console, next_steps, print_json, sentences, step, typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from training.evaluation.comparing import RunComparison
    from training.evaluation.scoreboard import Scoreboard

__all__ = ["compare"]


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN RUN",
            help="Two recorded runs, each named by its id, a version number, or champion, challenger, previous.",
            show_default=False,
        ),
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="When the data end; default: now.")] = None,
    known_by: Annotated[
        str | None, typer.Option("--known-by", help="Only what was recorded by then, as an earlier run saw it.")
    ] = None,
    segments: Annotated[bool, typer.Option("--segments", help="Show every segment and month as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write every figure as JSON to standard output.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="A folder for tables (Parquet) and pictures.")] = None,
) -> None:
    """Judge all methods month by month without training for use, or compare two recorded runs."""
    from data.errors import UsageError

    if not runs:
        _compare_methods(as_of, known_by, segments=segments, as_json=as_json, out=out)
        return
    if len(runs) != 2:
        raise UsageError(f"two runs are compared, {len(runs)} were named", hint="name two runs, or none")
    given = {"--as-of": as_of, "--known-by": known_by, "--out": out, "--segments": segments or None}
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise UsageError(f"{' and '.join(wrong)} means nothing where two runs are compared", hint="leave it out")
    _compare_runs(runs[0], runs[1], as_json=as_json)


def _compare_methods(
    as_of: str | None, known_by: str | None, *, segments: bool, as_json: bool, out: Path | None
) -> None:
    from data.clock import iso
    from data.commands import cutoff_of
    from data.settings import load_settings
    from features.training_set import known_by_of
    from training.evaluation.comparing import judge_as_of, log_comparison
    from training.evaluation.scoreboard_table import metrics_for, segment_table

    settings = load_settings()
    cutoff = cutoff_of(as_of, settings)
    recorded = known_by_of(known_by, cutoff=cutoff)
    with step(f"comparing as of {cutoff:%Y-%m-%d}") as tell:
        comparison = judge_as_of(settings, cutoff, known_by=recorded, progress=tell)
    with step("drawing pictures, logging to MLflow"):
        run_id = log_comparison(comparison, settings, out=out)
    board, screen = comparison.judgement.scoreboard, console()
    if as_json:
        print_json({"cutoff": iso(cutoff), "run": run_id, **json.loads(board.to_json())})
        return
    screen.print(board.table(metrics=metrics_for(screen.width)))
    if segments and len(board.groups) > 1:
        screen.print(segment_table(board))
    screen.print(f"Logged to MLflow as run {run_id[:8]}; no model was sealed or registered.")
    ui = f"mlflow ui --backend-store-uri sqlite:///{settings.mlruns / 'mlflow.db'}"
    steps = [("clew train", "seal and register a model"), (ui, "read tables and pictures")]
    if out is not None:
        steps.append((typed("ls", out / "pictures"), "the pictures of this comparison"))
    next_steps(*steps)


def _compare_runs(first: str, second: str, *, as_json: bool) -> None:
    from data.settings import load_settings
    from training.evaluation.comparing import compare_runs
    from training.evaluation.scoreboard_table import metrics_for

    with step("reading both runs"):
        compared = compare_runs(load_settings(), first, second)
    if as_json:
        print_json(_as_json(compared))
        return
    screen = console()
    screen.print(_parameter_table(compared) if compared.parameters else "Their parameters are the same.")
    metrics = metrics_for(screen.width)
    if not compared.figures.empty:
        screen.print(_figure_table(compared, metrics))
    if compared.paired is not None:
        table = compared.paired.table(metrics=metrics)
        table.title, table.caption = "on the rows that both judged", None
        screen.print(table)
        screen.print(_difference_table(compared, compared.paired))
    screen.print(sentences(*compared.said))


def _parameter_table(compared: RunComparison) -> Table:
    from rich.table import Table

    table = Table("parameter", *compared.names, title="parameters that differ")
    for key, values in compared.parameters.items():
        table.add_row(key, *("–" if value is None else value for value in values))
    return table


def _figure_table(compared: RunComparison, metrics: tuple[str, ...]) -> Table:
    """Return the figures of all judged rows: each method's two lines, the first run's above the second's."""
    from rich.table import Table

    from training.evaluation.metrics import METRICS
    from training.evaluation.scoreboard import EVERYONE

    of = compared.figures[compared.figures["group"] == EVERYONE]
    caption = f"Above: {compared.names[0]}, below: {compared.names[1]}; each on the rows it judged, which may differ."
    table = Table("method", title="all judged rows", caption=caption)
    for metric in metrics:
        table.add_column(METRICS[metric].label, justify="right")
    sides = {(row["method"], row["metric"]): row for row in of.to_dict(orient="records")}
    for method in dict.fromkeys(of["method"]):
        cells = [_two_lines(sides.get((method, metric), {}), metric) for metric in metrics]
        table.add_row(str(method), *cells)
    return table


def _difference_table(compared: RunComparison, paired: Scoreboard) -> Table:
    """Return every figure's paired difference, the second run's minus the first one's, and which way is better."""
    from rich.table import Table

    from training.evaluation.metrics import METRICS
    from training.evaluation.scoreboard_table import figure_text

    caption = f"{compared.names[1]} - {compared.names[0]}, accounts drawn with replacement, both on the same draws"
    table = Table("figure", title="paired differences", caption=caption)
    for heading in ("difference", f"{paired.level:.0%} interval", "better is"):
        table.add_column(heading, justify="right")
    for name, metric in METRICS.items():
        row = paired.figure(compared.names[0], name)
        value, high, low = (figure_text(-row[f"difference{end}"], name) for end in ("", "_low", "_high"))
        what = "nearer 1 (distances)" if metric.better == "nearer 1" else metric.better
        table.add_row(metric.label, value, f"{low} – {high}", what)
    return table


def _two_lines(row: Mapping[Any, Any], metric: str) -> str:
    from training.evaluation.scoreboard_table import figure_text

    return "\n".join(figure_text(float(row.get(f"value_{side}", math.nan)), metric) for side in ("first", "second"))


def _as_json(compared: RunComparison) -> dict[str, Any]:
    return {
        "runs": [
            {"name": name, "run": run.run_id, "version": run.version, "cutoff": run.tags.get("cutoff")}
            for name, run in zip(compared.names, compared.runs, strict=True)
        ],
        "parameters": {key: list(sides) for key, sides in compared.parameters.items()},
        "figures": [
            {str(key): None if _is_nan(value) else value for key, value in row.items()}
            for row in compared.figures.to_dict(orient="records")
        ],
        "paired": None if compared.paired is None else json.loads(compared.paired.to_json()),
        "said": list(compared.said),
    }


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
