"""Where the figures of the last look lie: one file that is there whole or not at all, and a copy of each day."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

from data.clock import DAY_US, parse_moment, to_us
from data.errors import ClewError
from data.files import written_whole
from monitoring.standing import FORMAT, STALE_DAYS, Standing

if TYPE_CHECKING:
    from pathlib import Path

    from data.settings import Settings

__all__ = [
    "KEPT_WEEKS",
    "MOST_BYTES",
    "Problem",
    "Read",
    "age_days",
    "is_stale",
    "read_standing",
    "standing_path",
    "write_standing",
]

KEPT_WEEKS = 26
MOST_BYTES = 4_000_000
_COPY = re.compile(r"(\d{4}-\d{2}-\d{2})\.json")

Problem = Literal["missing", "damaged", "version"]
"""Why there are no figures: nobody has written any, they cannot be read, or another version of clew wrote them."""


@dataclass(frozen=True)
class Read:
    """What a file said: the figures, or why there are none."""

    standing: Standing | None
    problem: Problem | None = None


def standing_path(home: Path) -> Path:
    """Return where the newest figures lie.

    Examples
    --------
    >>> from pathlib import Path
    >>> standing_path(Path("var")).as_posix()
    'var/monitoring/latest.json'
    """
    return home / "monitoring" / "latest.json"


def write_standing(standing: Standing, settings: Settings) -> Path:
    """Keep the figures as those of their day and, unless newer ones are there, as the newest; return the day's file.

    A look at the past does not replace what is known of today. Copies of more than 26 weeks before the newest figures
    are removed.

    Raises
    ------
    InfrastructureError
        If a file cannot be written or removed.
    """
    latest = standing_path(settings.home)
    day = parse_moment(standing.as_of).astimezone(settings.zone).date()
    text = json.dumps(standing.model_dump(mode="json"), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    copy = latest.with_name(f"{day.isoformat()}.json")
    before = read_standing(latest).standing
    newest = before is None or parse_moment(before.as_of) <= parse_moment(standing.as_of)
    for path in (copy, latest) if newest else (copy,):
        with written_whole(path) as beside:
            beside.write_text(text + "\n", encoding="utf-8")
            if path == latest:
                _remove_old(latest.parent, day)
    return copy


def _remove_old(folder: Path, newest: date) -> None:
    """Remove the copies that are too old; other files of the folder are somebody else's."""
    for path in folder.glob("*.json"):
        found = _COPY.fullmatch(path.name)
        if found and found[1] < (newest - timedelta(weeks=KEPT_WEEKS)).isoformat():
            path.unlink(missing_ok=True)


def read_standing(path: Path) -> Read:
    """Return the figures of a file, or why there are none; never raises, as a page has to say something.

    Examples
    --------
    >>> from pathlib import Path
    >>> read_standing(Path("no-such-folder/latest.json"))
    Read(standing=None, problem='missing')
    """
    try:
        told = json.loads(path.read_bytes()) if path.stat().st_size <= MOST_BYTES else None
        if isinstance(told, dict) and isinstance(told.get("format"), int) and told["format"] != FORMAT:
            return Read(None, "version")
        standing = Standing.model_validate(told)
        parse_moment(standing.as_of)
    except FileNotFoundError:
        return Read(None, "missing")
    except (OSError, ValueError, RecursionError, ClewError):
        return Read(None, "damaged")
    return Read(standing)


def age_days(standing: Standing, now_us: int) -> float:
    """Return how many days before a moment the figures end; 0 where they end later."""
    return max(0.0, (now_us - to_us(parse_moment(standing.as_of))) / DAY_US)


def is_stale(standing: Standing, now_us: int) -> bool:
    """Tell whether the figures are older than they should be."""
    return age_days(standing, now_us) > STALE_DAYS
