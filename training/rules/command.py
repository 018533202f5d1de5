"""The command of the rules: judge the scorecard on history, suggest another, list where rules and model disagree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.console import console, next_steps, print_json, step, typed

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from data.settings import Settings
    from training.bundles.bundle import Bundle
    from training.rules.disagreements import Sides
    from training.rules.review import RulesReview
    from training.rules.suggest import Suggestion
    from training.run import Prepared

__all__ = ["scorecard"]

_NO_JUDGED = "no run has left judged rows yet: `clew train` comes first, then rules and model can be compared"
_OTHER_JUDGED = "the rows that the last run judged are not among these: `clew train` with the same --as-of comes first"
_NO_BUNDLE = "no bundle is served yet: `clew train` and `clew promote` come first, then open leads can be compared"
_NO_OPEN = "no lead is open at this moment"


@dataclass(frozen=True)
class _Found:
    """What the command came to; `sides` and `open_leads` are None where `told` says why."""

    review: RulesReview
    picture: Path
    sides: Sides | None
    judged: pd.DataFrame | None
    open_leads: pd.DataFrame | None
    told: tuple[str, ...]
    suggestion: Suggestion | None = None
    written: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return every figure for JSON."""
        return {
            "review": self.review.as_dict(),
            "picture": str(self.picture),
            "disagreements": {
                "judged": None if self.sides is None else self.sides.as_dict(),
                "judged_leads": _records(self.judged),
                "open_leads": _records(self.open_leads),
                "told": list(self.told),
            },
            "suggestion": None if self.suggestion is None else self.suggestion.as_dict(),
            "written": None if self.written is None else str(self.written),
        }


def _records(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    return None if table is None else [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def scorecard(
    as_of: Annotated[str | None, typer.Option("--as-of", help="When the data end; default: now.")] = None,
    suggest: Annotated[bool, typer.Option("--suggest", help="Learn new points and conditions from outcomes.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="File for the suggested scorecard (YAML); with --suggest.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write every figure as JSON to standard output.")] = False,
) -> None:
    """Judge the rules on history like a model: points that history supports, silent rules, pools, disagreements.

    With --suggest a scorecard is learnt from outcomes, few rules with round points, and judged on later months beside
    the current one; --out writes it as a file for a person to read and to name in clew.yaml.
    """
    from data.commands import cutoff_of
    from data.settings import load_settings

    settings = load_settings()
    _check_out(out, settings, suggest=suggest)
    found = _find(settings, cutoff_of(as_of, settings), suggest=suggest, out=out)
    if as_json:
        print_json(found.as_dict())
        return
    _show(found)


def _check_out(out: Path | None, settings: Settings, *, suggest: bool) -> None:
    from data.errors import UsageError

    if out is not None and not suggest:
        raise UsageError("--out was given without --suggest", hint="add --suggest: the file is the suggested scorecard")
    if out is not None and settings.scorecard is not None and out.resolve() == settings.scorecard.resolve():
        raise UsageError(
            f"--out: {out} is the scorecard in use",
            hint="name another file, look at what changed, then name that file in clew.yaml",
        )


def _find(settings: Settings, cutoff: datetime, *, suggest: bool, out: Path | None) -> _Found:
    import numpy as np

    from data.warehouse import Warehouse
    from training.rules.picture import draw_points
    from training.rules.review import review_scorecard
    from training.run import prepare

    with step(f"reading history until {cutoff:%Y-%m-%d}") as tell:
        prepared = prepare(Warehouse(settings.warehouse_dir), settings, as_of=cutoff, progress=tell)
    with step("judging the rules") as tell:
        review = review_scorecard(
            prepared.scorecard,
            prepared.rows,
            capacity=settings.capacity,
            rng=np.random.default_rng(settings.seed),
            plan=prepared.plan,
            progress=tell,
        )
        picture = draw_points(review, settings.home / "rules" / "points.svg")
    with step("comparing rules and model"):
        told, judged, sides = _judged(prepared, settings)
        why, open_leads = _open(prepared, settings)
    notes = tuple(note for note in (told, why) if note)
    if not suggest:
        return _Found(review, picture, sides, judged, open_leads, notes)
    suggestion = _suggested(prepared, settings)
    written = None
    if out is not None:
        from training.rules.file import write_suggestion

        written = write_suggestion(suggestion, out)
    return _Found(review, picture, sides, judged, open_leads, notes, suggestion, written)


def _suggested(prepared: Prepared, settings: Settings) -> Suggestion:
    from training.rules.suggest import suggest_scorecard

    with step("learning a scorecard") as tell:
        return suggest_scorecard(
            prepared.rows,
            prepared.rows.catalogue,
            capacity=settings.capacity,
            seed=settings.seed,
            current=prepared.scorecard,
            plan=prepared.plan,
            progress=tell,
        )


def _judged(prepared: Prepared, settings: Settings) -> tuple[str, pd.DataFrame | None, Sides | None]:
    """Return the disagreements on the rows that the last run judged, with today's rules; or why there are none."""
    import numpy as np
    import pandas as pd

    from training.evaluation.judging import MODEL
    from training.rules.disagreements import disagreements, sides_of
    from training.rules.history import list_moments

    files = sorted((settings.home / "runs").rglob("judged.parquet"), key=lambda path: (path.stat().st_mtime_ns, path))
    if not files:
        return _NO_JUDGED, None, None
    ours = prepared.rows.spine[["lead_id", "as_of_us"]].assign(points=prepared.scorecard.points(prepared.rows.frame))
    both = pd.read_parquet(files[-1]).merge(ours, on=["lead_id", "as_of_us"], how="inner")
    if both.empty:
        return _OTHER_JUDGED, None, None
    table = disagreements(
        both["points"].to_numpy(),
        both[MODEL].to_numpy(),
        lead_id=both["lead_id"].to_numpy(object),
        as_of_us=list_moments(both["as_of_us"].to_numpy(np.int64), prepared.plan),
        capacity=settings.capacity,
        y_obs=both["y_obs"].to_numpy(),
        clusters=both["cluster"].to_numpy(object),
    )
    return "", table, sides_of(table, rng=np.random.default_rng(settings.seed))


def _open(prepared: Prepared, settings: Settings) -> tuple[str, pd.DataFrame | None]:
    """Return today's open leads that rules or model would call; or why there are none."""
    import numpy as np

    from training.bundles.bundle import Bundle, pointed_bundle
    from training.rules.disagreements import disagreements

    folder = pointed_bundle(settings.bundles_dir)
    if folder is None:
        return _NO_BUNDLE, None
    rows = prepared.open_rows
    if rows.spine.empty:
        return _NO_OPEN, None
    told, probability = _probabilities(Bundle.load(folder), rows.frame)
    if probability is None:
        return told, None
    return "", disagreements(
        prepared.scorecard.points(rows.frame),
        probability,
        lead_id=rows.spine["lead_id"].to_numpy(object),
        as_of_us=np.full(len(probability), prepared.cutoff_us),
        capacity=settings.capacity,
    )


def _probabilities(bundle: Bundle, frame: pd.DataFrame) -> tuple[str, NDArray[np.float64] | None]:
    """Return what the served bundle says of open leads, or why it says nothing."""
    from training.evaluation.judging import predict

    encoding = bundle.full.model.encoding
    missing = sorted(set(encoding.names) - set(frame.columns))
    if missing:
        return f"the bundle served reads {len(missing)} features that are no more, {missing[0]} first: train anew", None
    return "", predict(bundle.full.logit(encoding.tree_matrix(frame)))


def _show(found: _Found) -> None:
    from training.rules.view import show_judged_sides, show_open, show_review, show_suggestion

    out = console()
    show_review(found.review)
    if found.sides is not None:
        show_judged_sides(found.sides)
    if found.open_leads is not None:
        show_open(found.open_leads)
    for note in found.told:
        out.print(note, style="yellow", markup=False, soft_wrap=True)
    if found.suggestion is not None:
        show_suggestion(found.suggestion)
    out.print(f"points now and points that history supports: {found.picture}", markup=False, soft_wrap=True)
    next_steps(*_next(found))


def _next(found: _Found) -> tuple[tuple[str, str], ...]:
    if found.suggestion is None:
        return (("clew scorecard --suggest --out rules.yaml", "let new points be learnt from outcomes"),)
    if found.written is None:
        return (("clew scorecard --suggest --out rules.yaml", "write the suggestion as a file to read and to change"),)
    line = f"scorecard: {found.written}"
    return ((typed("cat", found.written), f"read it, change it, then accept it in clew.yaml with the line   {line}"),)
