"""The leak finder: which columns know what could not have been known when a lead was scored."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from data.clock import to_us
from data.errors import DataError
from features.reading import reads_of
from training.leaks.evidence import Evidence, Subject, gather, subjects_of
from training.leaks.material import Context, make_material
from training.leaks.verdicts import Judged, Verdict, judge_all
from training.leaks.words import words_of
from training.learning.recipe import Rows, thinned

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb
    from rich.table import Table

    from data.settings import Plan, Settings
    from data.warehouse import Warehouse
    from features.engine import FeatureComputer

__all__ = ["ColumnFinding", "LeakReport", "find_leaks", "find_leaks_in", "leaks_of", "refuse_leaks"]

_MOST_ROWS = 40_000
_ORDER: dict[Verdict, int] = {"leak": 0, "suspect": 1, "cannot tell": 2, "clean": 3}
_STYLES: dict[Verdict, str] = {"leak": "bold red", "suspect": "yellow", "cannot tell": "dim", "clean": "green"}
Progress = Callable[[str], None]


@dataclass(frozen=True)
class ColumnFinding:
    """What was found of one column, or of one event type.

    Attributes
    ----------
    name
        How `--allow-leak` calls it: the feature, or the event type.
    reads
        The column of the contract, or the events.
    features
        All features that hang on it.
    verdict
        leak, suspect, clean or cannot tell.
    auc, auc_low, auc_high
        How it alone ranks wins within a month, with the 95 % interval.
    forward
        Whether `auc` was learnt only from what had matured before.
    filled_won, filled_lost, filled_open
        Share filled among leads won, lost, and open today; None without such leads.
    evidence
        Sentences with numbers, the weightiest first.
    """

    name: str
    reads: str
    features: tuple[str, ...]
    verdict: Verdict
    auc: float
    auc_low: float
    auc_high: float
    forward: bool
    filled_won: float | None
    filled_lost: float | None
    filled_open: float | None
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class LeakReport:
    """All findings, leaks first; `rows` and `wins` are the matured pairs they were judged on, `open` today's leads."""

    columns: tuple[ColumnFinding, ...]
    rows: int
    wins: int
    open: int

    @property
    def leaks(self) -> tuple[str, ...]:
        """The names of the columns with the verdict leak."""
        return self.named("leak")

    def named(self, verdict: Verdict) -> tuple[str, ...]:
        """Return the names of the columns with a verdict."""
        return tuple(one.name for one in self.columns if one.verdict == verdict)

    def finding(self, name: str) -> ColumnFinding:
        """Return the finding of a column, or raise KeyError."""
        for one in self.columns:
            if one.name == name:
                return one
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"leaks": list(self.leaks), "columns": [asdict(one) for one in self.columns]}

    def table(self, *, every: bool = False) -> Table:
        """Return a table for the screen: leaks, suspects and what cannot be told, or `every` column."""
        from rich.table import Table
        from rich.text import Text

        table = Table(show_lines=True)
        for head in ("column", "verdict", "AUC alone", "filled won / lost / open", "evidence"):
            table.add_column(head, ratio=3 if head == "evidence" else None, overflow="fold")
        for one in self.columns:
            if every or one.verdict in {"leak", "suspect"}:
                shares = " / ".join(_percent(x) for x in (one.filled_won, one.filled_lost, one.filled_open))
                table.add_row(
                    Text(one.name),
                    Text(one.verdict, style=_STYLES[one.verdict]),
                    f"{one.auc:.2f} ({one.auc_low:.2f}–{one.auc_high:.2f})",
                    shares,
                    Text(" ".join(one.evidence)),
                )
        return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def find_leaks(rows: Rows, open_rows: Rows | None, *, seed: int, context: Context | None = None) -> LeakReport:
    """Judge every column of a training set.

    Parameters
    ----------
    rows
        All matured pairs.
    open_rows
        The leads open today, with the same features; their spine needs `lead_id` and `as_of_us`, and without a
        `context` also `t0_us` and `cluster` to be compared at equal ages.
    seed
        Chooses the accounts that are left out where there are more than 40,000 rows.
    context
        What only the warehouse knows, from `training.leaks.context.todays_leads`.

    Returns
    -------
    LeakReport
        Leaks first, then suspects, what cannot be told, and clean columns, each in the order of the catalogue.
    """
    material = make_material(thinned(rows, _MOST_ROWS, seed=seed), open_rows, context)
    subjects = {one.name: one for one in subjects_of(rows.catalogue)}
    evidence = {name: gather(material, one) for name, one in subjects.items()}
    wins = int(material.rows.y_obs.sum())
    judged = judge_all(
        evidence,
        subjects,
        wins=wins,
        losses=len(material.rows.spine) - wins,
        overwritten=material.lists.overwritten if material.lists else 0.0,
    )
    found = [
        _finding(subjects[name], evidence[name], judged[name], forward=bool(material.forward)) for name in subjects
    ]
    found.sort(key=lambda one: _ORDER[one.verdict])
    return LeakReport(
        columns=tuple(found),
        rows=len(rows.spine),
        wins=int(rows.y_obs.sum()),
        open=len(open_rows.spine) if open_rows is not None else 0,
    )


def _finding(subject: Subject, one: Evidence, judged: Judged, *, forward: bool) -> ColumnFinding:
    return ColumnFinding(
        name=subject.name,
        reads=reads_of(subject.features[0]),
        features=tuple(feature.name for feature in subject.features),
        verdict=judged.verdict,
        auc=one.auc.value,
        auc_low=one.auc.low,
        auc_high=one.auc.high,
        forward=forward,
        filled_won=one.filled[0],
        filled_lost=one.filled[1],
        filled_open=one.filled[2],
        evidence=words_of(subject, one, judged),
    )


def leaks_of(
    connection: duckdb.DuckDBPyConnection,
    compute: FeatureComputer,
    rows: Rows,
    plan: Plan,
    *,
    cutoff_us: int,
    seed: int,
    progress: Progress = lambda _: None,
) -> LeakReport:
    """Judge every column of a training set that was built on this connection; leaves another `spine` behind."""
    from training.leaks.context import todays_leads

    open_rows, context = todays_leads(connection, compute, rows.catalogue, plan, cutoff_us=cutoff_us, progress=progress)
    progress(f"leak finder: judging {len(rows.catalogue.features)} features")
    return find_leaks(rows, open_rows, seed=seed, context=context)


def find_leaks_in(
    warehouse: Warehouse,
    settings: Settings,
    *,
    as_of: datetime,
    known_by: datetime | None = None,
    progress: Progress = lambda _: None,
) -> LeakReport:
    """Build the training set of a warehouse as a training would, and judge every column of it.

    Raises
    ------
    DataError
        If nothing has matured by `as_of`.
    """
    from features.engine import feature_computer
    from features.own import own_features
    from features.training_set import build_training_set, catalogue_of, first_as_of
    from training.run import frames, plan_of, scorecard_of

    plan, cutoff_us = plan_of(settings, warehouse, known_by=known_by), to_us(as_of)
    with warehouse.connect(threads=settings.query_threads, known_by=known_by) as connection:
        catalogue = catalogue_of(
            connection,
            warehouse,
            cutoff_us=cutoff_us,
            timezone=settings.timezone,
            wanted=scorecard_of(settings).features(),
            known_by=known_by,
            own=own_features(settings, warehouse, known_by=known_by),
            treatments=settings.treatments,
            from_us=first_as_of(connection, plan),
        )
        progress(f"photographing leads and computing {len(catalogue.features)} features")
        compute = feature_computer(settings, warehouse, known_by=known_by)
        built = build_training_set(connection, catalogue, plan, cutoff_us=cutoff_us, compute=compute)
        rows = frames(built.table, catalogue)
        return leaks_of(connection, compute, rows, plan, cutoff_us=cutoff_us, seed=settings.seed, progress=progress)


def refuse_leaks(report: LeakReport, allowed: Collection[str]) -> None:
    """Stop where a leak is not allowed by name.

    Parameters
    ----------
    report
        What was found.
    allowed
        Names of columns, event types or features.

    Raises
    ------
    DataError
        Naming every leak that is not allowed, with the evidence of the first.

    Examples
    --------
    >>> refuse_leaks(LeakReport((), rows=0, wins=0, open=0), allowed=())
    """
    names = set(allowed)
    open_leaks = [
        one for one in report.columns if one.verdict == "leak" and one.name not in names and not names & {*one.features}
    ]
    if not open_leaks:
        return
    first, count = open_leaks[0], len(open_leaks)
    shares = ", ".join(
        f"{_percent(share)} of the {whose}"
        for share, whose in ((first.filled_won, "won"), (first.filled_lost, "lost"), (first.filled_open, "open"))
    )
    listed, verb = ", ".join(one.name for one in open_leaks), "knows" if count == 1 else "know"
    raise DataError(
        f"{listed} {verb} the outcome, which nobody knows when a lead is scored "
        f"({first.name} ranks wins with an AUC of {first.auc:.2f} and is filled for {shares} leads)",
        hint="map it as known later or after_outcome, see `clew leakage` for why, or allow it with --allow-leak NAME",
    )
