"""A small real bundle: the recipe fitted on random leads, sealed as a promotion would seal it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data.clock import DAY_US, parse_moment, to_us
from features.catalogue import Catalogue, build_catalogue
from features.memory import EventFact, LeadFacts, evaluate
from features.scorecard import load_scorecard
from training.bundles.bundle import Bundle, Grade, SealedModel
from training.bundles.sealing import seal
from training.certainty.interval import IntervalTable
from training.certainty.measure import with_certainty
from training.learning.model import Calibrator
from training.learning.recipe import Choices, Rows, fit_model

if TYPE_CHECKING:
    from pathlib import Path

AS_OF = "2026-11-21T08:00:00Z"
AS_OF_US = to_us(parse_moment(AS_OF))
EVENT_TYPES = ("demo_request", "page_view", "price_page_view", "whitepaper_download")
CUSTOM = {"erp": "categorical", "seats": "numeric", "remark": "text"}
_RANGE = IntervalTable(
    grid=(-7.0, 0.0, 7.0),
    low=(-7.9, -0.6, 6.5),
    high=(-6.5, 0.5, 7.8),
    month_sd=0.3,
    wins=120,
    rows=800,
    periods=6,
)
_SOURCES = ("webinar", "fair", "search", "partner")
_RANKS = ("junior", "staff", "manager", "director", "vp", "c_level")
_INDUSTRIES = ("software", "retail", "medical devices")


def small_catalogue() -> Catalogue:
    """Return the catalogue of the tests, with days in Shanghai."""
    return build_catalogue(event_types=EVENT_TYPES, custom=CUSTOM, timezone="Asia/Shanghai")


def random_events(rng: np.random.Generator, count: int, prefix: str) -> tuple[EventFact, ...]:
    """Return events of the last 120 days."""
    found = []
    for k in range(count):
        us = AS_OF_US - int(rng.integers(1, 120 * DAY_US))
        kind, content, lead = str(rng.choice(EVENT_TYPES)), f"c{rng.integers(4)}", f"{prefix}{rng.integers(3)}"
        found.append(EventFact("site", f"{prefix}{k}", kind, us, us, content, float(rng.integers(300)), None, lead))
    return tuple(found)


def random_facts(rng: np.random.Generator) -> LeadFacts:
    """Return a lead with every block, and holes in the attributes."""

    def some(value: object) -> object:
        return None if rng.random() < 0.15 else value

    lead = {
        "source": some(str(rng.choice(_SOURCES))),
        "seniority": some(str(rng.choice(_RANKS))),
        "email_domain_kind": some(str(rng.choice(("free", "corporate")))),
        "contact_completeness": float(rng.integers(4)) / 3,
        "custom_erp": some(str(rng.choice(("sap", "oracle")))),
        "custom_seats": some(float(rng.integers(500))),
        "custom_remark": some("words"),
    }
    account = {
        "industry": some(str(rng.choice(_INDUSTRIES))),
        "employees": some(float(rng.integers(1, 3000))),
        "region": some(str(rng.choice(("east", "west")))),
    }
    events, others = (random_events(rng, int(rng.poisson(8)), "e"), random_events(rng, int(rng.poisson(4)), "o"))
    return LeadFacts(AS_OF_US - int(rng.integers(DAY_US, 90 * DAY_US)), lead, account, events, others)  # type: ignore[arg-type]


def random_rows(count: int, *, seed: int = 5) -> Rows:
    """Return fit rows whose outcome depends on the company's size, on rank and on white papers."""
    rng = np.random.default_rng(seed)
    catalogue = small_catalogue()
    rows = [evaluate(catalogue, random_facts(rng), AS_OF_US) for _ in range(count)]
    frame = pd.DataFrame(rows).reindex(columns=list(catalogue.names))
    for feature in catalogue.features:
        if feature.kind == "numeric":
            frame[feature.name] = frame[feature.name].astype(float)
    big = np.log1p(frame["employees"].fillna(100)) / 4
    senior = frame["seniority"].isin(("vp", "c_level")).to_numpy(float)
    margin = -3 + big + senior + 0.8 * frame["whitepaper_downloads_30d"]
    won = rng.random(count) < 1 / (1 + np.exp(-margin))
    spine = pd.DataFrame(
        {"as_of_us": AS_OF_US, "y_obs": won.astype(int), "cluster": [f"a{k // 2}" for k in range(count)]}
    )
    return Rows(frame, spine, catalogue)


def small_bundle(folder: Path, *, seed: int = 5) -> Bundle:
    """Fit and seal a full and a profile-only model; another seed gives another bundle."""
    return sealed_bundle(folder, random_rows(800, seed=seed), Choices(trees=30))


def sealed_bundle(folder: Path, rows: Rows, choices: Choices) -> Bundle:
    """Fit with the choices frozen and seal, as a promotion would."""
    profile_catalogue = rows.catalogue.needing("lead", "account")
    full = with_certainty(SealedModel(fit_model(rows, choices), Calibrator(1.1, 0.05)), rows, interval=_RANGE)
    profile = SealedModel(fit_model(Rows(rows.frame, rows.spine, profile_catalogue), choices), Calibrator())
    probabilities = 1 / (1 + np.exp(-full.logit(full.model.encoding.tree_matrix(rows.frame))))
    cuts = [float(q) for q in np.quantile(probabilities, (0.9, 0.7, 0.4))]
    grades = [_grade(letter, cut, probabilities, rows) for letter, cut in zip("ABCD", (*cuts, 0.0), strict=True)]
    return seal(
        folder,
        about={"name": "lead-conversion", "goal": "won", "horizon_days": 90.0, "cutoff": "2026-11-01T00:00:00Z"},
        catalogue=rows.catalogue,
        scorecard=load_scorecard(),
        full=full,
        profile=profile,
        quantiles=np.quantile(probabilities, np.linspace(0.01, 0.99, 99)).tolist(),
        grades=grades,
        as_of_us=AS_OF_US,
    )


def _grade(letter: str, cut: float, probabilities: np.ndarray, rows: Rows) -> Grade:
    inside = probabilities >= cut
    judged, won = int(inside.sum()), int(rows.y_obs[inside].sum())
    spread = 1.96 * math.sqrt(won / judged * (1 - won / judged) / judged)
    rate = won / judged
    return Grade(
        grade=letter, at_least=cut, judged=judged, won=won, conversion=rate, low=rate - spread, high=rate + spread
    )
