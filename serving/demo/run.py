"""The main job from end to end, as a newcomer sees it: from an export to a reasoned score over HTTP."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import HOUR_US, from_us, iso, parse_moment
from data.commands import run_checks, run_import, show_import
from data.console import console, next_steps, step, typed
from data.errors import DataError, InfrastructureError, RefusedError, UsageError
from data.settings import Settings, load_settings
from data.warehouse import Warehouse
from features.snapshots import open_leads
from features.sql import compute_features, only_row
from serving.commands import show_answer
from serving.demo.pages import FilledPages, fill_monitoring, fill_pages
from serving.process.start import serve
from serving.scoring.facts import custom_kinds
from serving.scoring.requests import hottest_leads, request_of
from training.commands import run_training, show_published, show_scoreboard

if TYPE_CHECKING:
    from collections.abc import Container
    from datetime import datetime

    from training.run import Trained

__all__ = ["end_of_data", "run_demo"]

_SIMULATED_END = "2026-11-01"
_LEADS_SHOWN = 5
# What the demo makes in its folder, and so may remove again; anything else there is not its own.
_MARKER = ".clew-demo"
_MADE = (
    *("bentoml", "bundles", "data-docs", "mlruns", "monitor", "monitoring"),
    *("report.html", "runs", "serving.log", "simulated", "warehouse"),
    *("store.sqlite", "store.sqlite-wal", "store.sqlite-shm"),
    _MARKER,
)
# A committed mapping is known by the files it reads.
_KNOWN = ("bpi2012", "olist", "bank_marketing")


@dataclass(frozen=True)
class _Source:
    """What to import and until when it reaches."""

    folder: Path
    mapping: str | Path
    as_of: datetime | None


def run_demo(*, leads: int, seed: int, folder: Path | None, home: Path) -> None:
    """Run every step, write a report, and say what to type next.

    Raises
    ------
    UsageError
        If the folder holds none of the data sets that clew has a mapping for, or `home` is something else's folder.
    """
    started = time.monotonic()
    known = None if folder is None else _public(folder)
    settings = _fresh_home(home)
    source = known or _simulated(leads, seed, home)
    show_import(run_import(source.folder, source.mapping, settings))
    run_checks(settings, home / "data-docs")
    as_of = source.as_of or end_of_data(settings)
    trained, published = run_training(settings, as_of)
    show_scoreboard(trained.judgement.scoreboard)
    show_published(published)
    served = published["promoted"] or _promoted_by_hand(trained, settings, published["version"])
    best = _best_leads(trained, settings)
    custom = custom_kinds(trained.bundle.catalogue) if served else {}
    answers = _score_over_http(settings, best, trained.cutoff_us, custom=custom)
    filled = fill_pages(settings, trained.cutoff_us)
    fill_monitoring(settings, trained.cutoff_us)
    report = _report(trained, settings, answers, home)
    took = f"{time.monotonic() - started:.0f} s"
    console().print(f"\nThe whole line took {took}. Report: {report}", style="bold", markup=False, soft_wrap=True)
    _say_next(settings, answers, as_of, filled)


def _fresh_home(home: Path) -> Settings:
    """Remove what an earlier demo has made in its folder, and nothing else."""
    marker = home / _MARKER
    if home.exists() and not home.is_dir():
        raise UsageError(f"{home} is no folder", hint="name another one with --home")
    if home.is_dir() and any(home.iterdir()) and not marker.exists():
        raise UsageError(f"{home} holds something that the demo has not made", hint="name another folder with --home")
    home.mkdir(parents=True, exist_ok=True)
    for made in (home / name for name in _MADE):
        if made.is_dir() and not made.is_symlink():
            shutil.rmtree(made)
        else:
            made.unlink(missing_ok=True)
    marker.touch()
    return load_settings(
        home=home,
        warehouse=home / "warehouse",
        bundles=home / "bundles",
        mlruns=home / "mlruns",
        # Never the team's own store, whatever is configured.
        store=f"sqlite:///{home / 'store.sqlite'}",
        port=_free_port(),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _simulated(leads: int, seed: int, home: Path) -> _Source:
    from data.simulator import simulate

    end = parse_moment(_SIMULATED_END)
    with step(f"simulating a B2B team with {leads:,} leads") as tell:
        report = simulate(leads=leads, seed=seed, out=home / "simulated", end=end, progress=tell)
    return _Source(report.export, report.export / "mapping.yaml", end)


def _public(folder: Path) -> _Source:
    from data.mapping import load_mapping

    for name in _KNOWN:
        if all(any(folder.glob(spec.path)) for spec in load_mapping(name).files.values()):
            return _Source(folder, name, None)
    raise UsageError(
        f"{folder} holds none of the data sets {', '.join(_KNOWN)}",
        hint="import your own export with `clew import FOLDER --mapping FILE`",
    )


def end_of_data(settings: Settings) -> datetime:
    """Return the first full hour at which everything of an old data set had happened and was known."""
    with Warehouse(settings.warehouse_dir).connect() as connection:
        (last_us,) = only_row(
            connection,
            """
            SELECT MAX(us) FROM (
                SELECT MAX(EPOCH_US(created_at)) AS us FROM leads
                UNION ALL SELECT MAX(EPOCH_US(known_at)) FROM outcomes
                UNION ALL SELECT MAX(EPOCH_US(known_at)) FROM events) AS ends
            """,
        )
    if last_us is None:
        raise DataError("the import brought no leads", hint="look at the quarantine folder named above")
    return from_us((int(last_us) // HOUR_US + 1) * HOUR_US)


def _promoted_by_hand(trained: Trained, settings: Settings, version: str) -> bool:
    """Promote a model for which the gate wants a person; tell whether it is served now."""
    from training.bundles.publishing import promote_version

    if trained.verdict.decision != "by_hand":
        return False
    try:
        promote_version(settings, version, reason="shown in the demo; too little is known for a verdict")
    except RefusedError as error:
        console().print(f"The rules answer: {error.message}.", markup=False)
        return False
    console().print("The demo promotes it by hand, as a person may.")
    return True


def _best_leads(trained: Trained, settings: Settings) -> list[str]:
    """Return the open leads that the model ranks highest; where all are closed, the newest ones judged."""
    from training.run import frames

    with Warehouse(settings.warehouse_dir).connect() as connection:
        if open_leads(connection, as_of_us=trained.cutoff_us, goal=trained.plan.goal):
            catalogue = trained.bundle.catalogue
            rows = frames(compute_features(connection, catalogue), catalogue)
            matrix = trained.bundle.full.model.encoding.tree_matrix(rows.frame)
            logits = trained.bundle.full.logit(matrix).tolist()
            return hottest_leads(dict(zip(rows.spine["lead_id"], logits, strict=True)), _LEADS_SHOWN)
    newest = trained.judgement.spine.sort_values(["as_of_us", "lead_id"])["lead_id"]
    return [str(lead_id) for lead_id in newest.tail(_LEADS_SHOWN)]


def _score_over_http(
    settings: Settings, lead_ids: list[str], as_of_us: int, *, custom: Container[str]
) -> list[dict[str, Any]]:
    with Warehouse(settings.warehouse_dir).connect() as connection:
        requests = [request_of(connection, lead_id, as_of_us, custom=custom) for lead_id in lead_ids]
    with step("starting the service") as tell:
        handle = serve(settings, background=True, progress=tell)
    try:
        with step(f"scoring {len(requests)} leads over HTTP at {handle.url}/v1/score"):
            answers = [_post(f"{handle.url}/v1/score", request) for request in requests]
    finally:
        handle.stop()
    out = console()
    for answer in answers:
        told = (
            "the rules answer"
            if answer["probability"] is None
            else f"{answer['probability']:.1%}, grade {answer['grade']}"
        )
        out.print(f"  {answer['lead_id']}: {told}; rules {answer['rules']['points']} points")
    out.print("\n[bold]One lead, fully explained[/bold]")
    show_answer(answers[0])
    return answers


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - the service started above
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
    except urllib.error.URLError as error:
        raise InfrastructureError(
            f"the service at {url} did not answer ({error.reason})", hint="its log is serving.log in the demo's folder"
        ) from None
    return found


def _report(trained: Trained, settings: Settings, answers: list[dict[str, Any]], home: Path) -> Path:
    from training.bundles.publishing import report_pictures
    from training.evaluation.report import ExplainedLead, Reason, write_report
    from training.evaluation.run_report import facts_of, run_report

    first = answers[0]
    explained = None
    if first["probability"] is not None:
        explained = ExplainedLead(
            lead_id=first["lead_id"],
            probability=first["probability"],
            base_logit=first["base_logit"],
            remainder_logit=first["remainder_logit"],
            reasons=tuple(Reason(reason["text"], reason["logit"]) for reason in first["reasons"]),
            rules=f"{first['rules']['points']} points, pool {first['rules']['pool']}",
        )
    content = replace(
        run_report(trained, facts_of(trained, None), report_pictures(trained, settings)),
        title="Which leads will be won",
        compared=False,
        explained=explained,
    )
    write_report(content, home / "report.html")
    return home / "report.html"


def _say_next(settings: Settings, answers: list[dict[str, Any]], as_of: datetime, filled: FilledPages) -> None:
    variables = f"CLEW_HOME={shlex.quote(str(settings.home))} CLEW_MLRUNS={shlex.quote(str(settings.mlruns))}"
    console().print(f"\nTo go on with the demo's data: export {variables}", markup=False, soft_wrap=True)
    database = f"sqlite:///{settings.mlruns}/mlflow.db"
    lead, port = str(answers[0]["lead_id"]), load_settings().port
    address = f"http://127.0.0.1:{port}/"
    if filled.leads:
        console().print(
            f"The sales pages, once `clew serve` runs: {address}\nThe key to sign in with: {filled.key}",
            markup=False,
            soft_wrap=True,
        )
    serving = f"the sales pages at {address}, and for a CRM {address}v1/score with the key as its bearer token"
    next_steps(
        (typed("clew", "explain", lead, "--as-of", iso(as_of)), "one lead's reasons; --language zh for Chinese"),
        ("clew serve", serving),
        (typed("mlflow", "ui", "--backend-store-uri", database), "look at the run and its pictures"),
        ("clew import FOLDER --mapping salesforce", "bring your own export (or hubspot, dynamics, odoo, a YAML file)"),
    )
