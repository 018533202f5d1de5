"""`clew score`: every open lead scored in batch, into the history and as a file that the CRM takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from data.console import console, next_steps, print_json, step

if TYPE_CHECKING:
    from data.settings import Settings
    from data.store.engine import Store
    from data.store.scores import Score
    from serving.scoring.scorer import Scorer

__all__ = ["Batch", "register", "score_open_leads"]

Origin = Literal["store", "warehouse"]
Fields = Literal["plain", "salesforce", "hubspot", "dynamics", "odoo"]
AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")]
_BATCH = 200


def register(app: typer.Typer) -> None:
    """Add the command to the front door."""
    app.command("score")(score)


def score(
    as_of: Annotated[str | None, typer.Option("--as-of", help="The moment of the prediction; default: now.")] = None,
    out: Annotated[Path | None, typer.Option(help="A file for the CRM, .csv or .parquet.")] = None,
    fields: Annotated[Fields, typer.Option(help="Whose field names the file has.")] = "plain",
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of the reasons in the file.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Score every open lead, remember the scores, and write them for the CRM; a second run adds nothing.

    The leads are the store's where it has any, else the warehouse's.
    """
    from contextlib import closing

    from data.errors import UsageError
    from data.settings import load_settings
    from data.store.engine import expect_schema, open_store
    from serving.batch.crm_file import PRESETS, crm_file
    from serving.process.state import answering

    if out is not None and out.suffix not in {".csv", ".parquet"}:
        raise UsageError("--out: a file .csv or .parquet was expected", hint="choose one of the two endings")
    settings = load_settings()
    as_of_us = _moment(as_of)
    with closing(open_store(settings.store_url)) as store:
        expect_schema(store)
        scorer = answering(settings).scorer
        with step("scoring the open leads") as tell, crm_file(out, PRESETS[fields], scorer, language=language) as take:
            batch = score_open_leads(store, scorer, settings, as_of_us, take=take, progress=tell)
    if as_json:
        print_json(batch.as_dict() | {"out": None if out is None else str(out)})
        return
    grades = ", ".join(f"{grade or 'no grade'} {count:,}" for grade, count in batch.grades.items()) or "none"
    console().print(
        f"{batch.scored:,} open leads of the {batch.origin}, {batch.written:,} new in the history. Grades: {grades}"
        + (f"\nwritten to {out}" if out else ""),
        markup=False,
        soft_wrap=True,
    )
    if out is None:
        next_steps(("clew score --out scores.csv --fields salesforce", "write them for the CRM"))


def _moment(as_of: str | None) -> int:
    from data.clock import iso, now, parse_moment, to_us
    from data.errors import UsageError

    present = now()
    moment = parse_moment(as_of, field="--as-of") if as_of else present
    if moment > present:
        raise UsageError(f"--as-of: {iso(moment)} lies in the future", hint="leave it out for the present moment")
    return to_us(moment)


@dataclass(frozen=True)
class Batch:
    """What a batch did: leads scored, scores that the history did not have, and the leads by grade."""

    as_of: str
    origin: Origin
    bundle: str
    scored: int
    written: int
    failed: int = 0
    grades: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the batch as plain values for JSON."""
        return {**vars(self), "grades": dict(self.grades)}


def score_open_leads(
    store: Store,
    scorer: Scorer,
    settings: Settings,
    as_of_us: int,
    *,
    take: Callable[[Sequence[Score]], None] = lambda _: None,
    progress: Callable[..., None] = lambda *_: None,
) -> Batch:
    """Score all open leads at a moment into the history; a lead that another bundle scored before is marked `model`.

    Once all of them stand at the same new model, the webhooks that asked for it are told in one summary.

    Parameters
    ----------
    store
        The open store: its leads, where it has any, and in any case the history.
    scorer
        What answers.
    settings
        Where the warehouse is.
    as_of_us
        The moment, microseconds UTC.
    take
        Called with each batch of scores.
    progress
        Called with a text and the share done.

    Raises
    ------
    DataError
        If neither the store nor the warehouse has leads.
    InfrastructureError
        If the database cannot be used; what was written before stays, and the command may be run again.
    """
    from collections import Counter

    from data.clock import from_us, iso
    from data.store.model_moves import announce_model
    from data.store.scores import current_bundles, record_scores

    bundle = "" if scorer.bundle is None else scorer.bundle.digest
    origin: Origin = "store" if _has_leads(store) else "warehouse"
    pieces = _of_store(store, scorer, as_of_us) if origin == "store" else _of_warehouse(scorer, settings, as_of_us)
    scored, written, failed, elsewhere, grades = 0, 0, 0, 0, Counter[str]()
    for scores, unread in pieces:
        marked = _with_causes(store, scores)
        written += record_scores(store, marked).written
        now = current_bundles(store, [score.lead_id for score in marked])
        elsewhere += sum(each != bundle for each in now.values())
        take(marked)
        scored, failed = scored + len(marked), failed + unread
        grades.update(score.grade or "" for score in marked)
        progress(f"{scored:,} leads of the {origin}")
    # A batch for a moment of the past leaves later scores in force: the new model has not taken over then.
    if not elsewhere:
        announce_model(store, bundle)
    return Batch(iso(from_us(as_of_us)), origin, bundle, scored, written, failed, dict(sorted(grades.items())))


def _has_leads(store: Store) -> bool:
    import sqlalchemy as sa

    from data.store.schema import FACTS

    with store.reading() as connection:
        return connection.execute(sa.select(FACTS["leads"].c.lead_id).limit(1)).first() is not None


def _of_store(store: Store, scorer: Scorer, as_of_us: int) -> Iterator[tuple[list[Score], int]]:
    """Yield the scores of the store's open leads, and how many could not be scored, in batches."""
    from data.errors import ClewError
    from data.store.open_leads import open_leads
    from data.store.reading import lead_facts
    from features.facts import facts_as_of
    from serving.scoring.facts import custom_kinds
    from serving.stored.rescoring import score_facts

    custom, after = custom_kinds(scorer.catalogue), ""
    while page := open_leads(store, as_of_us=as_of_us, after=after, limit=_BATCH):
        after, scores, unread = page[-1], list["Score"](), 0
        for lead_id in page:
            stored = lead_facts(store, lead_id, as_of_us=as_of_us, custom=custom)
            try:
                facts = facts_as_of(lead_id, as_of_us, **stored.tables)
                scores.append(score_facts(scorer, lead_id, facts, as_of_us=as_of_us, cause="batch"))
            except (ClewError, ValueError, OverflowError):
                unread += 1  # one lead with odd facts must not keep the others from being scored
        yield scores, unread


def _of_warehouse(scorer: Scorer, settings: Settings, as_of_us: int) -> Iterator[tuple[list[Score], int]]:
    """Yield the scores of the warehouse's open leads, one a person."""
    from data.commands import require_leads
    from data.store.scores import Score
    from data.warehouse import Warehouse
    from features.snapshots import open_leads
    from features.training_set import feature_table
    from monitoring.served_features import lend_columns
    from serving.stored.rescoring import score_values

    require_leads(settings)
    warehouse = Warehouse(settings.warehouse_dir)
    with warehouse.connect(threads=settings.query_threads) as connection:
        lend_columns(connection, scorer.catalogue)
        if not open_leads(connection, as_of_us=as_of_us, goal=_goal(scorer)):
            return
        table = feature_table(connection, scorer.catalogue)
    for start in range(0, len(table), _BATCH):
        rows = table.slice(start, _BATCH).to_pylist()
        blanks = [Score(r["lead_id"], as_of_us, "", "rules", None, None, None, None, {}, (), {}, "batch") for r in rows]
        yield (
            [
                score_values(scorer, {name: row[name] for name in scorer.catalogue.names}, blank)
                for row, blank in zip(rows, blanks, strict=True)
            ],
            0,
        )


def _goal(scorer: Scorer) -> str:
    return "won" if scorer.bundle is None else str(scorer.bundle.manifest.get("goal") or "won")


def _with_causes(store: Store, scores: list[Score]) -> list[Score]:
    """Mark the scores that a new model gives: a grade that changes with the model is no news about the lead."""
    from dataclasses import replace

    from data.store.scores import current_bundles

    before = current_bundles(store, [score.lead_id for score in scores])
    return [
        replace(score, cause="model") if before.get(score.lead_id, score.bundle) != score.bundle else score
        for score in scores
    ]
