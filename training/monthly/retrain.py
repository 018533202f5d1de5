"""The monthly retrain: import, check, look for leaks, train, judge, ask the gate, and serve what passed it.

Driven by `as_of` alone. Everything it depends on is in its key, so that a second run is a no-op; every dear step is
kept in a journal, so that a run that was killed goes on; what is served changes in the last step only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import from_us, iso, to_us
from data.commands import cutoff_of
from data.errors import DataError
from data.warehouse import Warehouse
from features.training_set import known_by_of
from training.bundles.bundle import Bundle, folder_name
from training.bundles.publishing import publish_run, report_pictures
from training.bundles.registry import Registry
from training.gating.page import LeakLine, write_gate_page
from training.learning.recipe import Choices
from training.monthly.journal import Journal, run_folder, run_key, running_alone
from training.monthly.kept import keep_judgement, keep_prepared, kept_judgement, kept_prepared
from training.run import (
    FITTING_ROWS,
    Prepared,
    Trained,
    champion_of,
    judge_prepared,
    prepare,
    refit,
    scorecard_of,
    sealed,
)

if TYPE_CHECKING:
    from data.settings import Settings
    from training.evaluation.judging import Judgement

__all__ = ["Retrained", "retrain"]

Tell = Callable[[str], None]
# What of the settings changes a result; where things lie and how they are served does not.
_DECIDING = (
    *("timezone", "target_industries", "plan", "capacity", "seed", "treatments", "threads", "allow_leaks", "exports"),
)


@dataclass(frozen=True)
class Retrained:
    """What a monthly run came to; `fresh` is False where an earlier run had done it all."""

    decision: str
    sentence: str
    promoted: bool
    version: str
    bundle: str
    page: str
    checks: tuple[dict[str, Any], ...] = ()
    fresh: bool = True


def retrain(
    settings: Settings,
    *,
    as_of: str | None,
    known_by: str | None = None,
    allowed: Collection[str] = (),
    tell: Tell = lambda _: None,
) -> Retrained:
    """Run the whole month; the champion is untouched unless the gate promotes the challenger in the end.

    Parameters
    ----------
    settings
        Their `exports` are taken in first.
    as_of
        When the data of the run ends (ISO), the moment after the import by default.
    known_by
        Only what was recorded by then is read.
    allowed
        Columns that may be used although they look like leaks, beside the settings' own.
    tell
        Told what is going on.

    Raises
    ------
    DataError
        If an export is refused, a check is not met, a column leaks, or there is too little history.
    InfrastructureError
        If another retrain runs, or disk or database fail.
    UsageError
        If a moment lies in the future, or before the first lead.
    """
    with running_alone(settings.home):
        _import_all(settings, tell)
        cutoff = cutoff_of(as_of, settings)
        recorded = known_by_of(known_by, cutoff=cutoff)
        allowed = frozenset({*settings.allow_leaks, *allowed})
        key = run_key(*_everything(settings, cutoff, recorded, allowed))
        journal = Journal(run_folder(settings.home, to_us(cutoff), key))
        done = journal.read("done")
        if done is not None:
            return Retrained(**{**done, "checks": tuple(done["checks"]), "fresh": False})
        month = _Month(settings, journal, cutoff, recorded, allowed, tell)
        outcome = month.run()
        journal.write("done", asdict(outcome))
        return outcome


@dataclass(frozen=True)
class _Month:
    """The steps after the import; each looks first whether the journal holds it."""

    settings: Settings
    journal: Journal
    as_of: datetime
    known_by: datetime | None
    allowed: Collection[str]
    tell: Tell

    def run(self) -> Retrained:
        self._check()
        prepared = self._prepared()
        trained = self._trained(prepared)
        self.tell("registering in MLflow, drawing pictures")
        published = publish_run(trained, self.settings, may_replace=True)
        page = self.journal.folder / "verdict.html"
        write_gate_page(
            trained.verdict,
            about=self._about(trained, published),
            scoreboard=trained.judgement.scoreboard,
            pictures=report_pictures(trained, self.settings),
            leaks=self._leaks(),
            path=page,
        )
        return Retrained(
            decision=trained.verdict.decision,
            sentence=trained.verdict.sentence,
            promoted=published["promoted"],
            version=published["version"],
            bundle=trained.bundle.digest,
            page=str(page),
            checks=tuple(trained.verdict.as_dict()["checks"]),
        )

    def _check(self) -> None:
        """Hold the warehouse against the contract.

        Raises
        ------
        DataError
            If an invariant is broken, or an expectation is not met or could not be checked.
        """
        if self.journal.read("checks") is not None:
            return
        from data.checks import check_warehouse
        from data.invariants import check_invariants

        self.tell("checking the warehouse")
        warehouse = Warehouse(self.settings.warehouse_dir)
        check_invariants(warehouse)
        report = check_warehouse(warehouse, self.settings.home / "data-docs")
        if not report.passed:
            first = (*report.failed, *report.unchecked)[0]
            where = f"{first.table}.{', '.join(first.columns)}" if first.columns else first.table
            raise DataError(
                f"{len(report.failed)} expectations are not met and {len(report.unchecked)} could not be checked, "
                f"{where}: {first.expectation} first; nothing was trained and the served model stays",
                hint=f"look at {report.docs}, mend the export, and run it again",
            )
        self.journal.write("checks", {"expectations": len(report.results)})

    def _prepared(self) -> Prepared:
        scorecard = scorecard_of(self.settings)
        kept = kept_prepared(self.journal, scorecard)
        if kept is not None:
            return kept
        prepared = prepare(
            Warehouse(self.settings.warehouse_dir),
            self.settings,
            as_of=self.as_of,
            known_by=self.known_by,
            allowed=self.allowed,
            progress=self.tell,
        )
        if prepared.leaks is not None:
            self.journal.write("leaks", prepared.leaks.to_json())
        keep_prepared(self.journal, prepared)
        return prepared

    def _leaks(self) -> tuple[LeakLine, ...]:
        """Return what the leak finder said, for the page."""
        told = self.journal.read("leaks") or {"columns": []}
        return tuple(LeakLine(c["name"], c["verdict"], " ".join(c["evidence"])) for c in told["columns"])

    def _judged(self, prepared: Prepared, champion: Bundle | None) -> Judgement:
        settings = self.settings
        served = None if champion is None else champion.digest
        kept = kept_judgement(self.journal, prepared, served, capacity=settings.capacity, seed=settings.seed)
        if kept is not None:
            return kept
        choices = None if champion is None else Choices.from_dict(champion.manifest["choices"])
        judgement = judge_prepared(prepared, settings, champion=choices, progress=self.tell)
        keep_judgement(self.journal, judgement, served)
        return judgement

    def _trained(self, prepared: Prepared) -> Trained:
        champion = self._champion()
        judgement = self._judged(prepared, champion)
        refitted = refit(prepared, judgement, self.settings, progress=self.tell)
        self.tell("sealing the bundle and asking the gate")
        trained = sealed(prepared, judgement, refitted, self.settings, champion=champion)
        self.journal.write("challenger", {"digest": trained.bundle.digest})
        return trained

    def _champion(self) -> Bundle | None:
        """Return the bundle that the challenger has to beat.

        That is the one which serves, but for a rerun after the last step, which must not meet itself: there it is the
        one that served when the run began. Where a person promoted another in between, that one is judged anew.
        """
        serving, told = champion_of(self.settings), self.journal.read("champion")
        digest = None if serving is None else serving.digest
        itself = self.journal.read("challenger")
        if told is None or (told["digest"] != digest and (itself is None or itself["digest"] != digest)):
            told = {"digest": digest}
            self.journal.write("champion", told)
        if told["digest"] is None:
            return None
        return Bundle.load(self.settings.bundles_dir / folder_name(told["digest"]))

    def _about(self, trained: Trained, published: dict[str, Any]) -> dict[str, str]:
        served = Registry(self.settings.mlruns).version_of("champion")
        many = trained.counts.labelled + trained.counts.immature > FITTING_ROWS
        sampled = f"; the fit took a sample of about {FITTING_ROWS:,} pairs" if many else ""
        return {
            "Data until": iso(from_us(trained.cutoff_us)),
            "Challenger": f"version {published['version']}, bundle {trained.bundle.digest[:19]}…",
            "Served now": f"version {served}" if served else "the rules",
            "Learnt from": f"{trained.counts.labelled:,} matured pairs with {trained.counts.won:,} wins{sampled}",
            "Too young to be counted as lost": f"{trained.counts.immature:,} pairs, used as far as they are known",
        }


def _import_all(settings: Settings, tell: Tell) -> None:
    """Take in the exports of the settings; what was taken in before changes nothing."""
    from data.importing import import_export
    from data.mapping import load_mapping

    for export in settings.exports:
        tell(f"importing {export.folder}")
        warehouse = Warehouse(settings.warehouse_dir)
        import_export(export.folder, load_mapping(export.mapping), warehouse, threads=settings.query_threads)


def _everything(
    settings: Settings, as_of: datetime, known_by: datetime | None, allowed: Collection[str]
) -> tuple[object, ...]:
    """Return all that a run's result depends on: the data, the moment, the settings and the program."""
    manifest = Warehouse(settings.warehouse_dir).manifest()
    parts = sorted(part.sha256 for part in manifest.parts)
    told = settings.model_dump(mode="json", include=set(_DECIDING))
    files = [_file_hash(path) for path in (settings.scorecard, settings.own_features_file)]
    declared = manifest.declared.model_dump(mode="json")
    return iso(as_of), known_by and iso(known_by), sorted(allowed), told, files, parts, declared, _program()


def _program() -> tuple[str, ...]:
    """Return the versions that a result may depend on in its last bits."""
    return tuple(installed_version(name) for name in ("clew", "lightgbm", "numpy", "duckdb"))


def _file_hash(path: Path | None) -> str | None:
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
