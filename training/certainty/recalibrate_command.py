"""The command `recalibrate`: move the served model's intercept to what has matured since it was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from data.console import console, next_steps, print_json, sentences, step

if TYPE_CHECKING:
    from training.certainty.correction import Correction
    from training.certainty.recalibration import Recalibrated

__all__ = ["recalibrate"]


def recalibrate(
    as_of: Annotated[str | None, typer.Option("--as-of", help="Up to when outcomes count; default: now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the evidence as JSON to standard output.")] = False,
) -> None:
    """Correct the served model's intercept by outcomes that matured after its training, if that is worth it.

    The corrected bundle is a version of its own and is served at once; `clew rollback` goes back.
    """
    from data.commands import cutoff_of
    from data.settings import load_settings
    from data.warehouse import Warehouse
    from training.certainty.recalibration import recalibrate as run

    settings = load_settings()
    cutoff = cutoff_of(as_of, settings)
    with step(f"recalibrating as of {cutoff:%Y-%m-%d}") as tell:
        done = run(Warehouse(settings.warehouse_dir), settings, as_of=cutoff, progress=tell)
    if as_json:
        print_json(done.as_dict())
        return
    show_recalibrated(done)


def show_recalibrated(done: Recalibrated) -> None:
    """Say what the outcomes showed and what became of the bundle."""
    out = console()
    _show_evidence(done.correction)
    if not done.changed:
        out.print(f"[yellow]Nothing was changed.[/yellow] {sentences(done.why)}")
        return
    out.print(f"[green]Corrected.[/green] {sentences(done.why)}")
    out.print(f"version {done.version} of lead-conversion, bundle {done.bundle.digest[:19]}…")
    next_steps(("clew rollback", "go back to the version before"))


def _show_evidence(found: Correction) -> None:
    out = console()
    if found.realised is None or found.realised_low is None or found.realised_high is None:
        return
    out.print(
        f"{found.rows:,} matured pairs from {str(found.oldest_as_of)[:10]} to {str(found.newest_as_of)[:10]}: won "
        f"{found.realised:.1%} (90 % interval {found.realised_low:.1%} to {found.realised_high:.1%}), predicted "
        f"{found.predicted_before:.1%}, with the shift {found.predicted_after:.1%}; log loss "
        f"{found.log_loss_before:.4f}, with the shift {found.log_loss_after:.4f}"
    )
