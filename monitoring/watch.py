"""One look at everything: record and drift as of a moment, what follows from them, and doing it once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import DAY_US, from_us, iso, parse_moment, to_us
from data.errors import DataError
from data.files import written_whole
from monitoring.trigger import Call, call_for, names_of

if TYPE_CHECKING:
    from pathlib import Path

    from data.settings import Settings
    from monitoring.drift.finding import Finding
    from monitoring.drift.report import DriftReport
    from monitoring.record.record import Record
    from training.bundles.bundle import Bundle

__all__ = ["Done", "Watched", "act_on", "watch"]

Tell = Callable[[str], None]
_TRAINING = frozenset({"retrain", "recalibrate"})


@dataclass(frozen=True)
class Watched:
    """What was seen as of a moment.

    `record` is None without a store of scores, `drift` without enough history; `not_measured` says why.
    """

    as_of: str
    bundle: str | None
    record: Record | None
    drift: DriftReport | None
    not_measured: tuple[str, ...]
    call: Call

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that is not as it was, the data before the record."""
        return _findings(self.drift, self.record)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "as_of": self.as_of,
            "bundle": self.bundle,
            "findings": [finding.as_dict() for finding in self.findings],
            "call": self.call.as_dict(),
            "not_measured": list(self.not_measured),
            "record": None if self.record is None else self.record.as_dict(),
            "drift": None if self.drift is None else self.drift.as_dict(),
        }


@dataclass(frozen=True)
class Done:
    """What `--act` did: the act, what came of it in words, and whether it was done now or had been already."""

    act: str
    outcome: str
    fresh: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"act": self.act, "outcome": self.outcome, "fresh": self.fresh}


def watch(settings: Settings, *, as_of_us: int, tell: Tell = lambda _: None) -> Watched:
    """Measure record and drift by what was known at `as_of` and say what follows.

    The served model is today's, also where the moment lies in the past.

    Parameters
    ----------
    settings
        Where warehouse, store and bundles are.
    as_of_us
        The moment, microseconds UTC.
    tell
        Told what is going on.

    Raises
    ------
    InfrastructureError
        If warehouse or store cannot be read.
    """
    from training.run import champion_of

    bundle = champion_of(settings)
    missing = list[str]()
    tell("holding what was promised against what came true")
    record = _record(settings, bundle, as_of_us, missing)
    tell("holding what arrived against what the model learnt from")
    drift = _drift(settings, bundle, as_of_us, missing)
    learnt = None if bundle is None else _learnt_us(bundle)
    call = call_for(
        _findings(drift, record),
        learnt_days=None if learnt is None else (as_of_us - learnt) / DAY_US,
        new_month=learnt is not None and _month(learnt, settings) < _month(as_of_us, settings),
        answered=_answered(settings, as_of_us),
    )
    digest = None if bundle is None else bundle.digest
    return Watched(iso(from_us(as_of_us)), digest, record, drift, tuple(missing), call)


def _findings(drift: DriftReport | None, record: Record | None) -> tuple[Finding, ...]:
    return (*(() if drift is None else drift.findings), *(() if record is None else record.findings))


def _learnt_us(bundle: Bundle) -> int:
    return to_us(parse_moment(str(bundle.manifest["cutoff"])))


def _month(us: int, settings: Settings) -> tuple[int, int]:
    local = from_us(us).astimezone(settings.zone)
    return local.year, local.month


def _record(settings: Settings, bundle: Bundle | None, as_of_us: int, missing: list[str]) -> Record | None:
    """Return the record, None where nothing has been scored into a store."""
    from contextlib import closing

    from data.errors import ClewError
    from data.store.engine import expect_schema, open_store
    from data.warehouse import Warehouse
    from monitoring.record.given import read_given
    from monitoring.record.record import measure_record
    from training.run import plan_of

    try:
        with closing(open_store(settings.store_url)) as store:
            expect_schema(store)
            given = read_given(store, as_of_us=as_of_us, timezone=settings.timezone, bundles=settings.bundles_dir)
    except ClewError as error:
        missing.append(f"record: {error}")
        return None
    if not len(given):
        missing.append("record: no score had been given by then; `clew score` gives some")
        return None
    warehouse = Warehouse(settings.warehouse_dir)
    interval = None if bundle is None else bundle.full.interval
    with warehouse.connect(threads=settings.query_threads) as connection:
        return measure_record(
            connection,
            given,
            plan_of(settings, warehouse),
            as_of_us=as_of_us,
            capacity=settings.capacity,
            rng=np.random.default_rng(settings.seed),
            month_sd=None if interval is None else interval.month_sd,
        )


def _drift(settings: Settings, bundle: Bundle | None, as_of_us: int, missing: list[str]) -> DriftReport | None:
    """Return the drift, None where there is too little history to know what is usual."""
    from data.warehouse import Warehouse
    from features.training_set import catalogue_of
    from monitoring.drift.report import measure_drift
    from monitoring.served_features import lend_columns

    warehouse = Warehouse(settings.warehouse_dir)
    with warehouse.connect(threads=settings.query_threads) as connection:
        catalogue = (
            catalogue_of(connection, warehouse, cutoff_us=as_of_us, timezone=settings.timezone)
            if bundle is None
            else bundle.catalogue
        )
        lend_columns(connection, catalogue)
        learnt = None if bundle is None else _learnt_us(bundle)
        try:
            return measure_drift(connection, catalogue, as_of_us, bundle=bundle, learnt_until_us=learnt)
        except DataError as error:
            missing.append(f"drift: {error}")
            return None


def act_on(settings: Settings, watched: Watched, *, tell: Tell = lambda _: None) -> Done:
    """Do what the look calls for; what was done is kept by day in `monitor/` of the home folder.

    A model is trained or recalibrated once a day at most. Where the data were to be mended, another run of the same day
    may find them mended and go on.

    Parameters
    ----------
    settings
        Where everything is.
    watched
        What was seen.
    tell
        Told what is going on.

    Raises
    ------
    DataError
        If a retrain refuses the data; then nothing is kept, and the command may be run again.
    InfrastructureError
        If another retrain runs, or disk or database fail.
    """
    path = _journal(settings, watched)
    kept = _kept(path)
    # What was only to be mended may have been mended since; what was trained is not trained twice.
    if kept is not None and (kept["done"]["act"] in _TRAINING or kept["done"]["act"] == watched.call.act):
        return Done(kept["done"]["act"], kept["done"]["outcome"], fresh=False)
    done = Done(watched.call.act, _act(settings, watched, tell), fresh=True)
    with written_whole(path) as beside:
        told = {
            "as_of": watched.as_of,
            "findings": names_of(watched.findings),
            "call": watched.call.as_dict(),
            "done": done.as_dict(),
        }
        beside.write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")
    return done


def _kept(path: Path) -> dict[str, Any] | None:
    """Return what was done on a day, None where nothing was or the file cannot be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found


def _answered(settings: Settings, as_of_us: int) -> frozenset[str]:
    """Return what had been found when a look before `as_of` last retrained."""
    for path in sorted((settings.home / "monitor").glob("*.json"), reverse=True):
        kept = _kept(path)
        if kept is None or kept["done"]["act"] != "retrain" or to_us(parse_moment(kept["as_of"])) >= as_of_us:
            continue
        return frozenset(kept.get("findings", kept["call"]["because"]))
    return frozenset()


def _journal(settings: Settings, watched: Watched) -> Path:
    day = parse_moment(watched.as_of).astimezone(settings.zone).date()
    return settings.home / "monitor" / f"{day.isoformat()}.json"


def _act(settings: Settings, watched: Watched, tell: Tell) -> str:
    if watched.call.act == "retrain":
        from training.monthly.retrain import retrain

        outcome = retrain(settings, as_of=watched.as_of, tell=tell)
        state = "promoted" if outcome.promoted else "not promoted"
        return f"retrained: version {outcome.version}, {state}. {outcome.sentence}"
    if watched.call.act == "recalibrate":
        from data.warehouse import Warehouse
        from training.certainty.recalibration import recalibrate

        found = recalibrate(
            Warehouse(settings.warehouse_dir), settings, as_of=parse_moment(watched.as_of), progress=tell
        )
        return f"recalibrated: version {found.version}. {found.why}" if found.changed else f"not changed: {found.why}"
    if watched.call.act == "mend":
        return "nothing was trained: the data have to be mended first"
    return "nothing was due"
