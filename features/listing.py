"""The catalogue on a terminal: one row a feature, readable at 80 columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from features.reading import reads_of, window_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.console import Console

    from features.definitions import Catalogue, Need

__all__ = ["broken_name", "print_listing"]

# At 80 columns; what a wider terminal has to spare is shared out in percent.
_WIDTHS = {"feature": 22, "words": 21, "reads": 18, "window": 8, "needs": 7}
_SHARES = {"feature": 20, "words": 40, "reads": 40}
_NEEDS: dict[Need, str] = {
    "lead": "lead",
    "events": "events",
    "account": "account",
    "account_events": "account events",
    "actions": "actions",
}


def broken_name(name: str, width: int) -> str:
    """Break a long name after its joints, so that a narrow column never cuts a word.

    Examples
    --------
    >>> broken_name("account_days_since_other_event", 22).split()
    ['account_days_since_', 'other_event']
    >>> broken_name("leads.email_domain_kind", 16).split()
    ['leads.email_', 'domain_kind']
    """
    lines = [""]
    for word in re.findall(r"[^_.: ]*[_.: ]*", name):
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def print_listing(catalogue: Catalogue, *, own: Collection[str], out: Console) -> None:
    """Print the catalogue in its own order; own definitions are marked with a star."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    spare = max(0, out.width - sum(_WIDTHS.values()) - len(_WIDTHS) + 1)
    widths = {heading: width + spare * _SHARES.get(heading, 0) // 100 for heading, width in _WIDTHS.items()}
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    for heading, width in widths.items():
        table.add_column(heading, width=width, overflow="fold")
    for feature in catalogue.features:
        star = " *" if feature.name in own else ""
        table.add_row(
            Text(broken_name(feature.name, widths["feature"] - len(star)) + star, "bold"),
            feature.label.en,
            broken_name(reads_of(feature), widths["reads"]),
            window_of(feature),
            _NEEDS[feature.needs],
        )
    out.print(table, markup=False)
    starred = ", * your own definition" if own else ""
    out.print(f"{len(catalogue.features)} features{starred}", markup=False)
