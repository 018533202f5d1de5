"""The data-driven attribution as it is, judged on teams that nobody looked at when it was chosen.

`make evidence` simulates twenty of them with each of three effects of webinars and leaves the table in `var/evidence`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

from monitoring.attribution.report import MODELS, Attribution
from tests.model.test_attribution_simulator import OF_EVENTS, team
from tests.reference.worlds import EVIDENCE

# The way was chosen on seeds 7 to 10; these were drawn for nothing else.
FRESH = range(71_001, 71_021)
LIFTS = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Judged:
    """How far one model's shares are from the truth in each team.

    `errors` are mean absolute differences over the channels of the events, of credited and of caused wins as shares of
    all wins; `among` is the total variation distance of both as shares of what these channels have, None where nothing
    was caused; `webinars` are the wins credited to the one channel with an effect less those that it caused.
    """

    model: str
    errors: tuple[float, ...]
    among: tuple[float, ...] | None
    webinars: tuple[float, ...]
    nearest: int

    def as_dict(self) -> dict[str, object]:
        told: dict[str, object] = {"model": self.model, "nearest": self.nearest}
        for name in ("errors", "among", "webinars"):
            values = getattr(self, name)
            told |= {} if values is None else dict(zip((name, f"{name}_se"), mean_and_error(values), strict=True))
        return told


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error."""
    found = np.asarray(values, np.float64)
    return float(found.mean()), float(found.std(ddof=1) / len(found) ** 0.5) if len(found) > 1 else float("nan")


def credited(told: Attribution, model: str) -> dict[str, float]:
    """Wins that a model gives to the channels of the events."""
    wins = {line.key[0]: line.wins(model) for line in told.lines["channel"]}
    return {name: wins.get(name, 0.0) for name in OF_EVENTS}


def error(given: Mapping[str, float], caused: Mapping[str, float], *, wins: float) -> float:
    return sum(abs(given[name] - caused[name]) for name in caused) / len(caused) / wins


def among(given: Mapping[str, float], caused: Mapping[str, float]) -> float:
    whole, true = sum(given.values()), sum(caused.values())
    return sum(abs(given[name] / whole - caused[name] / true) for name in caused) / 2


def judge(teams: Sequence[tuple[Attribution, dict[str, float]]]) -> list[Judged]:
    """Hold every model against the truth of every team."""
    errors = {m: [error(credited(told, m), caused, wins=told.totals.wins) for told, caused in teams] for m in MODELS}
    nearest = [min(MODELS, key=lambda m, k=k: errors[m][k]) for k in range(len(teams))]  # type: ignore[misc]
    is_caused = all(sum(caused.values()) > 0 for _, caused in teams)
    return [
        Judged(
            m,
            tuple(errors[m]),
            tuple(among(credited(told, m), caused) for told, caused in teams) if is_caused else None,
            tuple(credited(told, m)["webinar"] - caused["webinar"] for told, caused in teams),
            nearest.count(m),
        )
        for m in MODELS
    ]


def test_an_error_is_the_mean_over_channels_of_differences_of_shares() -> None:
    given, caused = {"web": 30.0, "email": 10.0, "webinar": 20.0}, {"web": 0.0, "email": 0.0, "webinar": 40.0}
    assert error(given, caused, wins=100) == pytest.approx((0.3 + 0.1 + 0.2) / 3)
    assert among(given, caused) == pytest.approx(2 / 3)


@pytest.mark.skipif(not EVIDENCE, reason="sixty teams take ten minutes: run `make evidence`")
def test_on_teams_that_nobody_looked_at_shapley_is_nearest_to_the_truth() -> None:
    judged: dict[str, list[Judged]] = {}
    wins: dict[str, dict[str, list[float]]] = {}
    for lift in LIFTS:
        teams = [team(seed, lift) for seed in FRESH]
        judged[f"{lift:g}"] = judge(teams)
        wins[f"{lift:g}"] = {
            "won": [told.totals.wins for told, _ in teams],
            "caused": [caused["webinar"] for _, caused in teams],
        }
        team.cache_clear()
    folder = Path("var/evidence")
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "table": {lift: [one.as_dict() for one in found] for lift, found in judged.items()},
        "teams": {lift: {"judged": [asdict(one) for one in found], **wins[lift]} for lift, found in judged.items()},
    }
    (folder / "attribution.json").write_text(json.dumps(told, indent=1))
    for found in judged.values():
        one = next(judgement for judgement in found if judgement.model == "shapley")
        assert one.nearest >= 0.6 * len(FRESH)
