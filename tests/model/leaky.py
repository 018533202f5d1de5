"""A team's leads as an export shows them on its last day, with columns that know the outcome and columns that do not.

Every lead has a creation, an end and an outcome, also those still open on the last day; only planted leaks are allowed
to look at what had happened by then, honest columns at what was there when the lead came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from data.clock import DAY_US
from features.catalogue import Catalogue
from tests.model.rows import categorical, numeric
from training.leaks.finder import LeakReport, find_leaks
from training.leaks.material import Context
from training.learning.recipe import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Column = tuple[Literal["numeric", "categorical"], "NDArray[Any]"]
DAYS, HORIZON = 720, 90
_MONTH = 30


@dataclass(frozen=True)
class Team:
    """One entry a lead; times in days, `won` is what will become of it, `state` what has by the last day."""

    created: NDArray[np.float64]
    ends: NDArray[np.float64]
    won: NDArray[np.bool_]
    talent: NDArray[np.float64]
    state: NDArray[np.str_]
    rng: np.random.Generator

    def __len__(self) -> int:
        return len(self.created)

    @property
    def age(self) -> NDArray[np.float64]:
        """Days from the creation to the last day."""
        return DAYS - self.created

    @property
    def life(self) -> NDArray[np.float64]:
        """Days from the creation to the end, or to the last day."""
        return np.minimum(self.ends, DAYS) - self.created

    def pick(self, *values: str) -> NDArray[np.object_]:
        """Draw one of the values for each lead."""
        return np.array(values, object)[self.rng.integers(0, len(values), len(self))]

    def draw(self, chance: float | NDArray[np.float64]) -> NDArray[np.bool_]:
        """Draw yes or no for each lead."""
        return self.rng.random(len(self)) < chance

    def where(self, mask: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[np.object_]:
        """Fill in the values where the mask says so."""
        filled = np.full(len(self), None, object)
        filled[mask] = values[mask]
        return filled


def team(leads: int, *, seed: int, base: float = -2.2) -> Team:
    """Draw a team's history; one lead in twelve never closes."""
    rng = np.random.default_rng(seed)
    created = np.sort(rng.uniform(0, DAYS, leads))
    talent = rng.normal(size=leads)
    won = rng.random(leads) < 1 / (1 + np.exp(-(base + talent)))
    ends = created + np.where(rng.random(leads) < 1 / 12, 1e6, 2 + rng.exponential(np.where(won, 45, 60)))
    state = np.where(ends >= DAYS, "open", np.where(won, "won", "lost"))
    return Team(created, ends, won, talent, state, rng)


def find(team: Team, columns: Mapping[str, Column], *, beside: bool = True, seed: int = 7) -> LeakReport:
    """Judge columns of the last day's export; `beside` gives what the warehouse knows of today's leads too."""
    catalogue = Catalogue(
        features=tuple((numeric if k == "numeric" else categorical)(n) for n, (k, _) in columns.items())
    )
    frame = pd.DataFrame({name: values for name, (_, values) in columns.items()})
    spine = pd.concat([_list(team, day) for day in range(_MONTH, DAYS - HORIZON + 1, _MONTH)], ignore_index=True)
    rows = Rows(frame.iloc[spine["lead"]].reset_index(drop=True), spine, catalogue)
    if not beside:
        return find_leaks(rows, None, seed=seed)
    opened = np.flatnonzero(team.state == "open")
    lately = np.flatnonzero((team.state != "open") & (team.age <= 150))
    return find_leaks(
        rows,
        Rows(frame.iloc[opened].reset_index(drop=True), _today(opened), catalogue),
        seed=seed,
        context=Context(_states(team), Rows(frame.iloc[lately].reset_index(drop=True), _today(lately), catalogue)),
    )


def _list(team: Team, day: int) -> pd.DataFrame:
    there = np.flatnonzero((team.created <= day) & (team.ends > day))
    as_of = np.full(len(there), day * DAY_US)
    created = (team.created[there] * DAY_US).astype(np.int64)
    return pd.DataFrame(
        {
            "lead": there,
            "lead_id": [f"l{k}" for k in there],
            "as_of_us": as_of,
            "created_us": created,
            "t0_us": created,
            "monthly": 1,
            "mature_us": as_of + HORIZON * DAY_US,
            "y_obs": (team.won[there] & (team.ends[there] <= day + HORIZON)).astype(np.int64),
            "cluster": _accounts(there),
        }
    )


def _accounts(leads: NDArray[np.int64]) -> list[str]:
    return [f"a{k // 2}" if k % 3 else f"lead:l{k}" for k in leads.tolist()]


def _today(leads: NDArray[np.int64]) -> pd.DataFrame:
    return pd.DataFrame({"lead_id": [f"l{k}" for k in leads], "as_of_us": DAYS * DAY_US})


def _states(team: Team) -> pd.DataFrame:
    created = (team.created * DAY_US).astype(np.int64)
    closed = np.where(team.state == "open", np.nan, team.ends * DAY_US)
    return pd.DataFrame(
        {
            "lead_id": [f"l{k}" for k in range(len(team))],
            "t0_us": created,
            "created_us": created,
            "cluster": _accounts(np.arange(len(team))),
            "state": team.state,
            "closed_us": closed,
        }
    )


def leaks(t: Team) -> dict[str, Column]:
    """Return columns as CRMs fill or overwrite them when a deal is decided."""
    won, lost, still, size = t.state == "won", t.state == "lost", t.state == "open", len(t)
    stages = np.where(won, 5.0, np.where(lost, t.rng.integers(0, 4, size), np.minimum(t.age // 60, 4)))
    amount = np.where(won, 0.95, np.where(lost, 0.25, np.clip(t.age / 180, 0, 0.35)))
    number = np.array([f"{k:06d}" for k in range(size)], object)
    return {
        "lost_reason": ("categorical", t.where(lost, t.pick("price", "timing", "silent"))),
        "lost_reason_often": ("categorical", t.where(lost & t.draw(0.7), t.pick("price", "timing"))),
        "segment_of_deal": ("categorical", t.where(won, t.pick("a", "b", "c"))),
        "close_reason": ("categorical", t.where(~still, t.pick("x", "y"))),
        "close_reason_often": ("categorical", t.where(~still & t.draw(0.6), t.pick("x", "y"))),
        "close_day": ("numeric", np.where(still, np.nan, t.ends)),
        "status": (
            "categorical",
            np.where(won, "Won", np.where(lost, "Lost", t.pick("New", "Working"))).astype(object),
        ),
        "crm_probability": ("numeric", np.where(won, 100.0, np.where(lost, 0.0, 10.0 * t.rng.integers(1, 9, size)))),
        "activities": ("numeric", t.rng.poisson(t.life * np.where(t.won, 0.5, 0.2)).astype(float)),
        "last_modified": (
            "numeric",
            np.where(still, DAYS - t.rng.exponential(9, size), t.ends + t.rng.exponential(3, size)),
        ),
        "days_open": ("numeric", t.life),
        "owner": ("categorical", np.where(won, t.pick("farm-1", "farm-2"), t.pick("hunt-1", "hunt-2")).astype(object)),
        "owner_often": (
            "categorical",
            np.where(won & t.draw(0.7), "farm-1", t.pick("hunt-1", "hunt-2")).astype(object),
        ),
        "amount": ("numeric", np.where(t.draw(amount), t.rng.lognormal(9, 1, size), np.nan)),
        "customer_number": ("categorical", t.where(won, number)),
        "record_number": ("categorical", np.where(won, "CUST-", "LEAD-") + number),
        "target_with_noise": ("numeric", np.where(t.draw(0.03), ~won, won).astype(float)),
        "target_with_gaps": ("numeric", np.where(t.draw(0.3), np.nan, won.astype(float))),
        "final_stage": ("numeric", stages),
        "invoiced": ("numeric", np.where(won, t.rng.lognormal(9, 1, size), 0.0)),
        "next_step": ("categorical", t.where(still & t.draw(0.8), t.pick("call", "mail"))),
    }


def honest(t: Team) -> dict[str, Column]:
    """Return columns that were there when the lead came: strong ones, changing ones, and odd ones."""
    size, month = len(t), (t.created // _MONTH).astype(int)
    fit = np.where(t.draw(0.2), ~t.won, t.won).astype(float)
    number = np.array([f"L-{k:06d}" for k in range(size)], object)
    campaign = np.array([f"c{m}-{k}" for m, k in zip(month, t.rng.integers(0, 3, size), strict=True)], object)
    return {
        "fit_score": ("numeric", fit),
        "fit_grade": ("categorical", np.where(fit == 1, "high", "low").astype(object)),
        "talent": ("numeric", t.talent),
        "talent_with_gaps": ("numeric", np.where(t.draw(0.6), np.nan, t.talent)),
        "filled_by_the_eager": ("categorical", t.where(t.draw(np.where(t.won, 0.8, 0.4)), t.pick("p", "q"))),
        "referral": ("categorical", np.where(t.draw(np.where(t.won, 0.3, 0.02)), "referral", t.pick("ad", "fair"))),
        "barred_country": ("categorical", np.where(~t.won & t.draw(0.15), "XX", t.pick("DE", "FR")).astype(object)),
        "campaign_of_the_month": ("categorical", campaign),
        "field_given_up": ("categorical", t.where(t.age > 70, t.pick("p", "q"))),
        "telling_field_given_up": ("numeric", np.where(t.age > 60, np.where(t.draw(0.35), ~t.won, t.won), np.nan)),
        "field_brought_in": ("categorical", t.where(t.age < 200, t.pick("p", "q"))),
        "new_channel": (
            "categorical",
            np.where((t.age < 80) & t.draw(0.4), "video", t.pick("ad", "fair")).astype(object),
        ),
        "lead_number": ("categorical", number),
        "row_number": ("numeric", np.arange(size, dtype=float)),
        "day_of_creation": ("numeric", np.floor(t.created)),
        "noise": ("numeric", t.rng.normal(size=size)),
        "always_the_same": ("numeric", np.ones(size)),
        "never_filled": ("categorical", np.full(size, None)),
        "hardly_ever_filled": ("numeric", np.where(t.draw(0.004), 1.0, np.nan)),
    }
