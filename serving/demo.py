"""The main job from end to end, as a newcomer sees it: from an export to a reasoned score over HTTP."""

from __future__ import annotations

import json
import shutil
import socket
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import HOUR_US, from_us, iso, parse_moment
from data.commands import run_checks, run_import, show_import
from data.console import console, next_steps, step
from data.errors import DataError, UsageError
from data.settings import Settings, load_settings
from data.warehouse import Warehouse
from features.snapshots import open_leads
from features.sql import compute_features
from serving.commands import show_answer
from serving.requests import hottest_leads, request_of
from serving.start import serve
from training.commands import run_training, show_published, show_scoreboard

if TYPE_CHECKING:
    from datetime import datetime

    from training.run import Trained

__all__ = ["run_demo"]

_SIMULATED_END = "2026-11-01"
_LEADS_SHOWN = 5
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
    settings = _fresh_home(home)
    source = _simulated(leads, seed, home) if folder is None else _public(folder)
    show_import(run_import(source.folder, source.mapping, settings))
    run_checks(settings, home / "data-docs")
    as_of = source.as_of or _end_of_data(settings)
    trained, published = run_training(settings, as_of)
    show_scoreboard(trained.judgement.scoreboard)
    show_published(published)
    best = _best_leads(trained, settings)
    answers = _score_over_http(settings, best, trained.cutoff_us)
    report = _report(trained, settings, answers, home)
    console().print(f"\n[bold]The whole line took {time.monotonic() - started:.0f} s.[/bold] Report: {report}")
    _say_next(settings, answers, as_of)


def _fresh_home(home: Path) -> Settings:
    """Empty the demo's own folder; never one that the demo has not made."""
    marker = home / ".clew-demo"
    if home.exists() and any(home.iterdir()) and not marker.exists():
        raise UsageError(f"{home} holds something that the demo has not made", hint="name another folder with --home")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    marker.touch()
    return load_settings(
        home=home, warehouse=home / "warehouse", bundles=home / "bundles", mlruns=home / "mlruns", port=_free_port()
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


def _end_of_data(settings: Settings) -> datetime:
    """Return the first full hour at which everything of an old data set had happened and was known."""
    with Warehouse(settings.warehouse_dir).connect() as connection:
        found = connection.execute(
            """
            SELECT MAX(us) FROM (
                SELECT MAX(EPOCH_US(created_at)) AS us FROM leads
                UNION ALL SELECT MAX(EPOCH_US(known_at)) FROM outcomes
                UNION ALL SELECT MAX(EPOCH_US(known_at)) FROM events) AS ends
            """
        ).fetchone()
    if found is None or found[0] is None:
        raise DataError("the import brought no leads", hint="look at the quarantine folder named above")
    return from_us((int(found[0]) // HOUR_US + 1) * HOUR_US)


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


def _score_over_http(settings: Settings, lead_ids: list[str], as_of_us: int) -> list[dict[str, Any]]:
    with Warehouse(settings.warehouse_dir).connect() as connection:
        requests = [request_of(connection, lead_id, as_of_us) for lead_id in lead_ids]
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
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def _report(trained: Trained, settings: Settings, answers: list[dict[str, Any]], home: Path) -> Path:
    from training.publishing import first_model_verdict, pictures_of
    from training.report import ExplainedLead, Picture, Reason, ReportContent, write_report

    board = trained.judgement.scoreboard
    pictures = pictures_of(trained, settings)
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
    content = ReportContent(
        title="Which leads will be won",
        cutoff=iso(from_us(trained.cutoff_us)),
        summary=_summary(trained),
        scoreboard=board,
        verdict=f"{first_model_verdict(board)[1]}. {board.verdict()}",
        pictures=(
            Picture(
                pictures["gain"], "Gain and lift", "Share of wins caught by calling the best leads first.", broad=True
            ),
            Picture(pictures["reliability"], "Reliability", "Observed win rate against the predicted probability."),
            Picture(pictures["scores"], "Scores by outcome", "Predicted probabilities of won and other leads."),
            Picture(
                pictures["differences"],
                "Differences to the model",
                "Each method's paired difference to the model, 95 % intervals; right of the line is better than it.",
                broad=True,
            ),
        ),
        explained=explained,
    )
    write_report(content, home / "report.html")
    return home / "report.html"


def _summary(trained: Trained) -> tuple[tuple[str, str], ...]:
    counts, choices = trained.counts, trained.judgement.choices
    board = trained.judgement.scoreboard
    return (
        ("labelled pairs of lead and moment", f"{counts.labelled:,}, {counts.won:,} won"),
        (
            "left out: closed by then",
            f"{counts.closed:,}, {counts.closed_but_not_known_then:,} of them known only later",
        ),
        ("left out: too young to tell", f"{counts.immature:,}"),
        ("judged from", iso(from_us(trained.judgement.split.judge_from_us))),
        ("judged rows", f"{board.n:,}, {board.wins:,} won"),
        ("horizon", f"{trained.plan.horizon_days:g} days"),
        ("linear share, penalty, trees", f"{choices.alpha:g}, {choices.strength:g}, {choices.trees}"),
        ("Platt", f"slope {choices.calibrator.a:.3f}, intercept {choices.calibrator.b:+.3f}"),
        ("bundle", trained.bundle.digest),
    )


def _say_next(settings: Settings, answers: list[dict[str, Any]], as_of: datetime) -> None:
    home = settings.home
    console().print(
        f"\nTo go on with the demo's data: [cyan]export CLEW_HOME={home} CLEW_MLRUNS={settings.mlruns}[/cyan]",
        soft_wrap=True,
    )
    next_steps(
        (f"clew explain {answers[0]['lead_id']} --as-of {iso(as_of)}", "one lead's reasons; --language zh for Chinese"),
        ("clew serve", "answer a CRM at http://127.0.0.1:8020/v1/score"),
        (f"mlflow ui --backend-store-uri sqlite:///{settings.mlruns}/mlflow.db", "look at the run and its pictures"),
        ("clew import FOLDER --mapping salesforce", "bring your own export (or hubspot, dynamics, odoo, a YAML file)"),
    )
