"""Templates filled in: numbers, moments and words as people of either language read them; every value is escaped."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from data.clock import from_us
from serving.pages.wording import event_words, say

if TYPE_CHECKING:
    from jinja2 import Environment

    from features.words import Language

__all__ = ["ASSETS", "coded", "day", "moment", "percent", "render", "signed"]

_HERE = Path(__file__).parent
ASSETS = _HERE / "assets"


def render(template: str, language: Language, **values: Any) -> str:  # noqa: ANN401 - whatever the template reads
    """Return a page in a language."""
    told = partial(say, language=language)
    named = partial(event_words, language=language)
    return _environment().get_template(template).render(
        language=language, html_language="zh-CN" if language == "zh" else "en", t=told, event_words=named, **values
    )  # fmt: skip


def percent(chance: float) -> str:
    """Write a probability: whole percent, tenths below ten, never 0 % or 100 %.

    Examples
    --------
    >>> percent(0.231), percent(0.0234), percent(0.0004), percent(0.9996)
    ('23 %', '2.3 %', '<0.1 %', '>99.9 %')
    """
    if chance < 0.001 - 1e-9:
        return "<0.1 %"
    if chance > 0.999 + 1e-9:
        return ">99.9 %"
    digits = 1 if chance < 0.0995 or chance > 0.9905 else 0
    return f"{100 * chance:.{digits}f} %"


def signed(value: float) -> str:
    """Write what is added, with a real minus as wide as the plus.

    Examples
    --------
    >>> signed(0.806), signed(-0.2), signed(-0.001)
    ('+0.81', '−0.20', '0.00')
    """
    text = f"{value:+.2f}"
    return "0.00" if text in {"+0.00", "-0.00"} else text.replace("-", "−")


def moment(us: int, zone: str = "UTC") -> str:
    """Write a moment in the zone of the model, to the minute.

    Examples
    --------
    >>> moment(0), moment(0, "Asia/Shanghai")
    ('1970-01-01 00:00', '1970-01-01 08:00')
    """
    return from_us(us).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def day(us: int, zone: str = "UTC") -> str:
    """Write the day of a moment."""
    return moment(us, zone)[:10]


def coded(text: str) -> Markup:
    """Escape a text and show what it has between backticks as code.

    Examples
    --------
    >>> coded("run `clew init` & wait")
    Markup('run <code>clew init</code> &amp; wait')
    """
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(text.split("`"))
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"percent": percent, "signed": signed, "moment": moment, "day": day, "coded": coded}
    return made
