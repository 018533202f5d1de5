"""A week of leads written by hand, small enough to be counted; the week is days 7 to 14 after the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data.clock import DAY_US, to_us
from monitoring.attribution.journeys import Period
from monitoring.quality.limits import Limits
from monitoring.quality.losses import read_losses
from monitoring.quality.report import QualityReport, ScoreBook, measure_quality
from monitoring.quality.scores import LastScore
from monitoring.quality.weeks import Weeks
from tests.model.funnel_world import START, FunnelWorld

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["END_US", "PERSONAL", "START_US", "WEEKS", "a_score", "a_week", "book", "contact", "measured"]

START_US = to_us(START)
END_US = START_US + 14 * DAY_US
WEEKS = Weeks(tuple(Period(START_US + d * DAY_US, START_US + (d + 7) * DAY_US, END_US) for d in (-7, 0, 7)))
# What must be found in no output.
PERSONAL = ("Zhang Weimin", "weimin@acme.example", "13800138000", "138 0013 8000", "Otto Meier", "Acme Werke")


def contact(world: FunnelWorld, lead_id: str, day: float, *, known: float | None = None, **columns: Any) -> None:
    world._add("contacts", day, known, lead_id=lead_id, **columns)


def a_week() -> FunnelWorld:
    """Return eight records of seven people.

    Before the week: L1, L2 (an old loss), L3 (lost within the week), L4. New within it: L5, L6, L7, and D1, which is
    L1's person again. L4 and L5 share a phone, L6 and L7 company and name, and count as different people.
    """
    world = FunnelWorld()
    world.account("acme", -20, name="Acme Werke GmbH", industry="energy", employees=700)
    world.account("acme2", -20, name="ACME Werke", industry="retail")
    for lead_id, day, source, account, person in (
        *(("L1", 1, "web", "acme", "p1"), ("L2", -3, "web", None, "p2"), ("L3", 2, "fair", "acme", "p3")),
        *(("L4", 3, "fair", None, "p4"), ("L5", 8, "web", "acme", "p5"), ("L6", 9, "web", "acme", None)),
        *(("L7", 10, "fair", "acme2", None), ("D1", 11, "web", "acme", "p1")),
    ):
        world.lead(lead_id, day, source=source, account_id=account, person_id=person, job_title="buyer")
    contact(world, "L1", 1, name="Zhang Weimin", email="weimin@acme.example", phone="138 0013 8000")
    contact(world, "D1", 11, name="Zhang Weimin", email="weimin+fair@acme.example", phone=None)
    contact(world, "L3", 2, name="A", email="no address", phone="1")
    contact(world, "L4", 3, name="B", email="b@x.example", phone="+49 30 123456")
    contact(world, "L5", 8, name="C", email=None, phone="0049 30 123456")
    contact(world, "L6", 9, name="Otto Meier", email="broken", phone=None)
    contact(world, "L7", 10, name="otto  meier", email="o@y.example", phone=None)
    world.ended("L2", 4, "lost", reason="price")
    world.ended("L3", 12, "lost", known=13, reason="price")
    world.event("L1", 12.5)
    world.action("L4", 4, "called")
    return world


def a_score(lead_id: str, day: float, probability: float, *, bundle: str = "m") -> LastScore:
    grade = "ABCD"[sum(probability < least for least in (0.2, 0.1, 0.03))]
    return LastScore(lead_id, START_US + round(day * DAY_US), bundle, probability, grade, grade)


def book(before: Mapping[str, float], now: Mapping[str, float], lost: Mapping[str, float] | None = None) -> ScoreBook:
    def told(chances: Mapping[str, float], day: float) -> dict[str, LastScore]:
        return {lead_id: a_score(lead_id, day, chance) for lead_id, chance in chances.items()}

    return ScoreBook(told(before, 6), told(now, 13), told(lost or {}, 11))


def measured(world: FunnelWorld, scores: ScoreBook | None = None, **limits: Any) -> QualityReport:
    connection = world.connected()
    losses = read_losses(connection, WEEKS)
    return measure_quality(connection, WEEKS, Limits(**limits), losses=losses, book=scores)
