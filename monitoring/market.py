"""What the market brought: the baselines of the last months and, if asked, who is to thank for the wins of a year."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from data.clock import from_us
from data.errors import ClewError

if TYPE_CHECKING:
    from pathlib import Path

    from data.settings import Settings
    from monitoring.attribution.report import Attribution
    from monitoring.baselines.definitions import Baselines
    from monitoring.baselines.report import BaselineReport

__all__ = ["NOT_ASKED", "Market", "measure_market"]

Tell = Callable[[str], None]
_MONTHS = 6
_YEAR_DAYS = 365
NOT_ASKED = "it takes as long as all the rest and was not asked for; `clew monitor --attribution` measures it too"


@dataclass(frozen=True)
class Market:
    """The baselines and the attribution of a look; what is None stands in `not_measured`, as part and reason."""

    baselines: BaselineReport | None
    attribution: Attribution | None
    not_measured: tuple[tuple[str, str], ...]


def measure_market(
    settings: Settings,
    as_of_us: int,
    *,
    with_attribution: bool,
    file: Path | None = None,
    currency: str | None = None,
    tell: Tell = lambda _: None,
) -> Market:
    """Measure the baselines of the last six whole months and, if asked, who is to thank for the wins of a year.

    Parameters
    ----------
    settings
        Where the warehouse and the entered figures are.
    as_of_us
        The moment of knowledge, microseconds UTC.
    with_attribution
        Whether to hand out the wins, which takes as long as everything else together.
    file
        Own baselines; by default those that come with clew.
    currency
        Into which amounts are converted by the entered rates.
    tell
        Told what is going on.

    Raises
    ------
    UsageError
        If the file of own baselines cannot be used; whatever else is in the way is told in `not_measured`.
    """
    from monitoring.baselines.definitions import load_baselines

    asked = load_baselines(file)
    missing = list[tuple[str, str]]()
    baselines: BaselineReport | None = None
    attribution: Attribution | None = None
    tell("holding the funnel against its baselines")
    try:
        baselines = _baselines(settings, as_of_us, asked, currency)
    except ClewError as error:
        missing.append(("baselines", str(error)))
    if not with_attribution:
        missing.append(("attribution", NOT_ASKED))
        return Market(baselines, attribution, tuple(missing))
    tell("handing out the wins of a year")
    try:
        attribution = _attribution(settings, as_of_us, currency)
    except ClewError as error:
        missing.append(("attribution", str(error)))
    return Market(baselines, attribution, tuple(missing))


def _baselines(settings: Settings, as_of_us: int, asked: Baselines, currency: str | None) -> BaselineReport:
    from data.warehouse import Warehouse
    from monitoring.baselines.figures import load_figures
    from monitoring.baselines.periods import calendar_periods
    from monitoring.baselines.report import measure_baselines

    periods = calendar_periods(from_us(as_of_us), "month", _MONTHS, settings.zone)
    entered = load_figures(settings.home / "figures.yaml")
    with Warehouse(settings.warehouse_dir).connect(threads=settings.query_threads) as connection:
        return measure_baselines(connection, asked, entered, periods, zone=settings.zone, currency=currency)


def _attribution(settings: Settings, as_of_us: int, currency: str | None) -> Attribution:
    from data.warehouse import Warehouse
    from monitoring.attribution.journeys import Period
    from monitoring.attribution.report import Options, attribute
    from monitoring.baselines.figures import load_figures

    known = from_us(as_of_us)
    period = Period.of(known - timedelta(days=_YEAR_DAYS), known, known)
    entered = load_figures(settings.home / "figures.yaml")
    rates = entered.rates_to(currency, period.until_us, settings.zone) if currency else None
    with Warehouse(settings.warehouse_dir).connect(threads=settings.query_threads) as connection:
        return attribute(connection, period, Options(rates=rates))
