"""Judged rows of which the truth is known: lists of leads month by month, and methods that see more or less of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from training.gating.gate import JudgedRows, OpenLeads

if TYPE_CHECKING:
    from numpy.typing import NDArray

MONTHS = 6
# Standard deviations of what decides a lead: what all models see, what only the one or the other sees, what none sees.
SHARED, OWN, HIDDEN = 1.0, 0.25, 0.6
SOURCES = np.array(["fair", "search", "webinar", "partner"], dtype=object)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def logit(p: Any) -> Any:
    return np.log(p / (1 - p))


def expected(margin: Any, unseen: float) -> Any:
    """Return the mean of sigmoid(margin + N(0, unseen)): what a perfectly calibrated method says that sees `margin`.

    MacKay's approximation (The Evidence Framework Applied to Classification Networks, 1992); below 0.003 off here.
    """
    return sigmoid(margin / np.sqrt(1 + np.pi / 8 * unseen**2))


@dataclass(frozen=True)
class World:
    """Leads on monthly lists; `seen` of a lead is what a model knows of it, all of it in log-odds."""

    y_obs: NDArray[np.int64]
    accounts: NDArray[np.int64]
    months: NDArray[np.int64]
    source: NDArray[np.object_]
    base: float
    shared: NDArray[np.float64]
    one: NDArray[np.float64]
    other: NDArray[np.float64]
    own: float

    def first_model(self) -> NDArray[np.float64]:
        """What a model says that sees the shared part and its own."""
        return np.asarray(expected(self.base + self.shared + self.one, np.hypot(self.own, HIDDEN)))

    def second_model(self, *, blind: float = 0.0, rng: np.random.Generator | None = None) -> NDArray[np.float64]:
        """What a model says that sees the shared part and another own one; `blind` of its knowledge replaced by noise.

        It stays calibrated: of what it sees it keeps the part that is true.
        """
        seen = self.shared + self.other
        if not blind or rng is None:
            return np.asarray(expected(self.base + seen, np.hypot(self.own, HIDDEN)))
        total = SHARED**2 + self.own**2
        noisy = (1 - blind) * seen + np.sqrt(blind * (1 - blind) * total) * rng.normal(size=len(seen))
        unseen = np.sqrt(blind * total + self.own**2 + HIDDEN**2)
        return np.asarray(expected(self.base + noisy, unseen))

    def scorecard(self) -> NDArray[np.float64]:
        """Rules see the shared part in four steps, and half of it not at all."""
        coarse = np.clip(np.round(self.shared * 0.7), -1, 2)
        return np.asarray(expected(self.base + 0.7 * coarse, 1.0))

    def rows(self, challenger: Any, champion: Any) -> JudgedRows:
        """Return the rows with these two models; rules and prior are the world's own."""
        prior = np.full(len(self.y_obs), float(expected(self.base, np.sqrt(SHARED**2 + 2 * self.own**2 + HIDDEN**2))))
        return JudgedRows(
            y_obs=self.y_obs,
            clusters=self.accounts,
            periods=self.months,
            challenger=np.asarray(challenger),
            champion=champion if champion is None else np.asarray(champion),
            scorecard=self.scorecard(),
            prior=prior,
            segments={"source": self.source},
        )


def world(wins: int, *, seed: int, base: float = -2.6, own: float = OWN, shock: float = 0.0) -> World:
    """Return a world with about `wins` won rows; a lead stays on up to three lists, accounts have about 1.5 leads.

    `shock` is the standard deviation of what a month adds to everybody's log-odds, seen by no model.
    """
    rng = np.random.default_rng(seed)
    unseen = np.sqrt(SHARED**2 + 2 * own**2 + HIDDEN**2)
    leads = round(wins / float(expected(base, unseen)) / 2)
    on, entered = rng.integers(1, 4, leads), rng.integers(0, MONTHS, leads)
    accounts = rng.integers(0, max(1, leads * 2 // 3), leads)
    shared, one, other = (spread * rng.normal(size=leads) for spread in (SHARED, own, own))
    # What no model sees is the account's: its leads share their fate.
    hidden = HIDDEN * rng.normal(size=leads)[accounts]
    monthly = shock * rng.normal(size=MONTHS)
    won = rng.random(leads) < sigmoid(base + shared + one + other + hidden + monthly[entered])
    lead = np.repeat(np.arange(leads), on)
    month = (entered[lead] + (np.arange(len(lead)) - np.repeat(np.cumsum(on) - on, on))) % MONTHS
    return World(
        y_obs=won[lead].astype(np.int64),
        accounts=accounts[lead],
        months=month,
        source=SOURCES[rng.integers(0, len(SOURCES), leads)][lead],
        base=base,
        shared=shared[lead],
        one=one[lead],
        other=other[lead],
        own=own,
    )


def open_leads(*, seed: int, count: int = 400, noise: float = 0.25, level: float = 0.0) -> OpenLeads:
    """Return what a judged model and an honest refit, on a few months more, say of the same open leads."""
    rng = np.random.default_rng(seed)
    judged = -2.6 + 0.9 * rng.normal(size=count)
    return OpenLeads(refit=sigmoid(judged + level + noise * rng.normal(size=count)), judged=sigmoid(judged))


def with_segment(rows: JudgedRows, value: str, by: Any) -> JudgedRows:
    """Return the rows with the challenger's probabilities of one source replaced."""
    hit = rows.segments["source"] == value
    return replace(rows, challenger=np.where(hit, by, rows.challenger))
