"""A team that is looked at every Monday as `clew monitor --act` does, and whose market turns on a day."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.clock import parse_moment, to_us
from data.importing import import_export
from data.mapping import load_mapping
from data.simulator import simulate
from data.store.engine import open_store
from data.store.migrate import migrate
from data.warehouse import Warehouse
from monitoring.watch import act_on, watch
from serving.batch.score_command import score_open_leads
from serving.process.state import answering
from tests.model.asked import asked_in, monthly_truth
from tests.model.conftest import CUTOFF
from training.bundles.bundle import Bundle, pointed_bundle
from training.bundles.publishing import promote_version
from training.certainty.recalibration import _measure, matured_since
from training.evaluation.drawing import COLOURS, GREY, in_style, new_figure, percent, save
from training.evaluation.rolling_pictures import monthly_rates
from training.monthly.retrain import retrain

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from data.settings import Settings

__all__ = ["ARMS", "Look", "Year", "draw_year", "live_through", "turned_team"]

# What each list would have been promised: as served; by the first model of the year, never retrained; and by both with
# their intercepts moved to what had matured by then.
ARMS = ("served", "served_recalibrated", "first", "first_recalibrated")


@dataclass(frozen=True)
class Look:
    """What a Monday found, called for and did."""

    day: str
    call: str
    reason: str
    findings: tuple[str, ...]
    outcome: str

    @property
    def early(self) -> bool:
        """Whether it retrained although no month was over."""
        return self.call == "retrain" and "a month is over" not in self.reason

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "findings": list(self.findings), "early": self.early}


@dataclass
class Year:
    """All looks, and every lead of each monthly list with the promises of all arms and what came of it."""

    looks: list[Look] = field(default_factory=list)
    lists: list[pd.DataFrame] = field(default_factory=list)
    shifts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def asked(self) -> pd.DataFrame:
        return pd.concat(self.lists, ignore_index=True)

    @property
    def early(self) -> list[Look]:
        return [look for look in self.looks if look.early]

    def ratio(self, arm: str, *, since: str = "") -> float:
        """Promised over realised wins of the lists from a month on."""
        rows = self.asked[self.asked["month"] >= since]
        return float(rows[arm].sum() / rows["won_90d"].sum())

    def ratio_error(self, arm: str, *, since: str = "") -> float:
        """The standard error of the ratio, by leaving out one lead after the other: a lead is on several lists."""
        rows = self.asked[self.asked["month"] >= since]
        each = rows.groupby("lead_id")[[arm, "won_90d"]].sum()
        whole = each.sum()
        left = (whole[arm] - each[arm]) / (whole["won_90d"] - each["won_90d"])
        return float(np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum()))


def turned_team(folder: Path, settings: Settings, *, leads: int, months: int, seed: int, turn: str) -> Path:
    """Simulate and import a team that from a day on buys leads which come under the name of its best source."""
    report = simulate(leads=leads, seed=seed, out=folder / "simulated", end=CUTOFF, months=months)
    table = pd.read_csv(report.export / "leads.csv", dtype=str, keep_default_na=False)
    drawn = np.random.default_rng(seed).random(len(table)) < 0.4
    bought = drawn & (table["Created"] >= turn).to_numpy()
    table.loc[bought, "Lead Source"] = "partner"
    table.to_csv(report.export / "leads.csv", index=False)
    mapping = load_mapping(report.export / "mapping.yaml")
    import_export(report.export, mapping, Warehouse(settings.warehouse_dir), now=CUTOFF)
    migrate(settings.store_url)
    return report.truth


def live_through(settings: Settings, truth: Path, *, start: str, days: pd.DatetimeIndex) -> Year:
    """Promote a first model by hand and let days pass, with a list on each first of a month and a look each Monday."""
    year, known = Year(), monthly_truth(truth)
    first = retrain(settings, as_of=start)
    if pointed_bundle(settings.bundles_dir) is None:
        promote_version(settings, first.version, reason="the first of the year")
    model = _served(settings)
    for day in days:
        if day.day == 1:
            _ask(settings, known, year, model, day)
        if day.day_of_week == 0:
            _score(settings, day)
            year.looks.append(_look(settings, day))
    return year


def _served(settings: Settings) -> Bundle:
    folder = pointed_bundle(settings.bundles_dir)
    assert folder is not None
    return Bundle.load(folder)


def _score(settings: Settings, day: pd.Timestamp) -> None:
    with closing(open_store(settings.store_url)) as store:
        score_open_leads(store, answering(settings).scorer, settings, to_us(day.to_pydatetime()))


def _look(settings: Settings, day: pd.Timestamp) -> Look:
    watched = watch(settings, as_of_us=to_us(day.to_pydatetime()))
    done = act_on(settings, watched)
    found = tuple(f"{one.kind} {one.subject}: {one.evidence.en}" for one in watched.findings)
    return Look(f"{day:%Y-%m-%d}", watched.call.act, watched.call.reason.en, found, done.outcome)


def _ask(settings: Settings, known: pd.DataFrame, year: Year, first: Bundle, day: pd.Timestamp) -> None:
    """Take the list of a month with the promises of all arms."""
    warehouse, moment = Warehouse(settings.warehouse_dir), f"{day:%Y-%m-%d}"
    served, told = _served(settings), dict[str, Any]()
    found = known.loc[known["as_of"] == day, ["lead_id", "won_90d", "probability_90d"]]
    for name, bundle in (("served", served), ("first", first)):
        rows = matured_since(bundle, warehouse, settings, as_of=parse_moment(moment))
        correction = _measure(bundle.full, rows)
        asked = asked_in(warehouse, bundle, moment)[["lead_id", "month", "promised"]]
        moved = _moved(asked["promised"].to_numpy(), correction.shift)
        asked = asked.rename(columns={"promised": name}).assign(**{f"{name}_recalibrated": moved})
        found = found.merge(asked if name == "served" else asked.drop(columns="month"), on="lead_id")
        told |= {f"{name}_shift": correction.shift, f"{name}_matured": correction.rows}
    year.lists.append(found)
    year.shifts.append({"month": f"{day:%Y-%m}", "bundle": served.digest, **told})


def _moved(promised: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-(np.log(promised / (1 - promised)) + shift)))
    return found


@in_style
def draw_year(year: Year, path: Path, *, turn: str) -> Path:
    """Draw month by month what was promised by three arms and what came true, with the turn and the early retrains."""
    asked, figure = year.asked, new_figure(10.5, 4.6)
    axes = figure.subplots()
    months, won = asked["month"].to_numpy(object), asked["won_90d"].to_numpy(np.int64)
    rates = monthly_rates(won, asked["served"].to_numpy(), months)
    places = np.arange(len(rates.months))
    spread = np.maximum([rates.realised - rates.low, rates.high - rates.realised], 0)
    axes.errorbar(places, rates.realised, yerr=spread, fmt="o", color=GREY, capsize=4, label="came true (95 %)")
    for arm, words, style in (
        ("served", "promised, retrained when called for", "D-"),
        ("first", "promised by the first model", "s--"),
        ("first_recalibrated", "the same, recalibrated", "^:"),
    ):
        promised = monthly_rates(won, asked[arm].to_numpy(), months).promised
        axes.plot(places, promised, style, color=COLOURS[ARMS.index(arm)], markersize=5, label=words)
    for day, words in ((turn, "the market turns"), *((look.day, "retrained early") for look in year.early)):
        place = _place(rates.months, day)
        axes.axvline(place, color=GREY, linewidth=1, linestyle="-." if day == turn else ":")
        axes.annotate(
            f"{words} {day}",
            (place, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -10 if day == turn else -24),
            textcoords="offset points",
            fontsize=8,
            color=GREY,
        )
    axes.set_xticks(places, [f"{m}\n{w} of {n}" for m, w, n in zip(rates.months, rates.wins, rates.rows, strict=True)])
    axes.tick_params(axis="x", labelsize=8)
    axes.set(ylim=(0, None), ylabel="won within 90 days")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False, fontsize=8)
    percent(axes, "y")
    return save(figure, path)


def _place(months: tuple[str, ...], day: str) -> float:
    """Where a day lies on an axis of months."""
    whole = (pd.Period(day[:7], "M") - pd.Period(months[0], "M")).n
    return float(whole) + (int(day[8:]) - 1) / 30
