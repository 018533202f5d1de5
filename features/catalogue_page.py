"""The catalogue as one page: each feature in words, what it reads, how often it is missing, how far it has moved."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.clock import from_us
from data.files import written_whole
from features.bins import MISSING, short
from features.profile import FEWEST, CrossSection, FeatureProfile
from features.reading import direction_of, reads_of, window_of
from features.words import Words, spaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from features.bins import Bin
    from features.stability import Drift, Move

__all__ = ["PageContent", "Summary", "render_page", "summary_of", "write_page"]

_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH, _HEIGHT = 168.0, 44.0  # of the picture of a distribution
_SPARK_WIDTH, _SPARK_HEIGHT = 60.0, 20.0
_MOST_MOVED = 8
_LONGEST_CATEGORY = 32
_MOVES: dict[Move, Words] = {
    "steady": Words(en="steady", zh="稳定"),
    "slight": Words(en="slight", zh="轻微"),
    "moved": Words(en="moved", zh="有漂移"),
    "far": Words(en="moved far", zh="漂移大"),
}
_KINDS = {"numeric": Words(en="number", zh="数值"), "categorical": Words(en="category", zh="类别")}


@dataclass(frozen=True)
class PageContent:
    """What the page says: the features over the cross-sections, oldest first, the last one now.

    `month_before` says whether the last but one is a month before; `own` names the data scientist's own features.
    """

    sections: tuple[CrossSection, ...]
    profiles: tuple[FeatureProfile, ...]
    month_before: bool
    timezone: str = "UTC"
    own: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Summary:
    """What the page says first, by the names of features; what moved most comes first."""

    features: int
    groups: int
    always_missing: tuple[str, ...]
    constant: tuple[str, ...]
    moved: tuple[tuple[str, Drift], ...]

    @property
    def drifted(self) -> int:
        """How many moved by as much as custom calls drift, not only by more than chance."""
        return sum(drift.move != "slight" for _, drift in self.moved)


@dataclass(frozen=True)
class _Bar:
    """One bar of a bin: the later moment in front of the earlier one."""

    x: float
    width: float
    before: float
    now: float
    missing: bool
    told: str


@dataclass(frozen=True)
class _Row:
    profile: FeatureProfile
    reads: str
    window: str
    kind: Words
    direction: str
    own: bool
    missing: str
    missing_told: str
    spark: str
    typical: tuple[tuple[str, str], ...]
    bars: tuple[_Bar, ...]
    ends: tuple[str, str] | None
    move: Words | None

    @property
    def ends_at(self) -> tuple[float, float]:
        """Where the first bin of values begins and the last one ends."""
        shown = [bar for bar in self.bars if not bar.missing]
        return shown[0].x, shown[-1].x + shown[-1].width

    @property
    def bars_told(self) -> str:
        """All shares in words, for those who cannot see the bars."""
        return "; ".join(bar.told for bar in self.bars)


def summary_of(profiles: Sequence[FeatureProfile]) -> Summary:
    """Return what to say first of all features.

    Examples
    --------
    >>> summary_of(()).moved
    ()
    """
    moved = [(one.feature.name, one.drift) for one in profiles if one.drift and one.drift.move != "steady"]
    return Summary(
        features=len(profiles),
        groups=len({one.feature.group for one in profiles}),
        always_missing=tuple(one.feature.name for one in profiles if one.always_missing),
        constant=tuple(one.feature.name for one in profiles if one.constant),
        moved=tuple(sorted(moved, key=lambda pair: (-pair[1].psi, pair[0]))),
    )


def render_page(content: PageContent) -> str:
    """Return the page as HTML; every text is escaped, pictures are inside, nothing is loaded from elsewhere."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    now, before = content.sections[-1], content.sections[-2] if content.month_before else None
    rows = {one.feature.name: _row(one, content) for one in content.profiles}
    groups: defaultdict[str, list[_Row]] = defaultdict(list)
    for row in rows.values():
        groups[row.profile.feature.group].append(row)
    summary = summary_of(content.profiles)
    environment.filters["psi"] = lambda value: f"{value:.2f}" if value >= 0.005 or value == 0 else "<0.01"
    return environment.get_template("catalogue.html.j2").render(
        now=now,
        before=before,
        now_day=_day(now, content),
        before_day=_day(before, content) if before else "",
        first_day=_day(content.sections[0], content),
        months=len(content.sections),
        summary=summary,
        most_moved=[rows[name] for name, _ in summary.moved[:_MOST_MOVED]],
        groups=[(spaced(name), group, groups[group]) for name, group in sorted((spaced(g), g) for g in groups)],
        fewest=FEWEST,
        size={"width": _WIDTH, "height": _HEIGHT, "spark_width": _SPARK_WIDTH, "spark_height": _SPARK_HEIGHT},
    )


def write_page(content: PageContent, path: Path) -> Path:
    """Write the page beside its place and move it there; return the path.

    Raises
    ------
    InfrastructureError
        If the file cannot be written.
    """
    page = render_page(content)
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def _day(section: CrossSection, content: PageContent) -> str:
    from zoneinfo import ZoneInfo

    return from_us(section.as_of_us).astimezone(ZoneInfo(content.timezone)).date().isoformat()


def _row(profile: FeatureProfile, content: PageContent) -> _Row:
    feature = profile.feature
    return _Row(
        profile=profile,
        reads=reads_of(feature),
        window=window_of(feature),
        kind=_KINDS[feature.kind],
        direction=direction_of(feature),
        own=feature.name in content.own,
        missing=_percent(profile.missing[-1]),
        missing_told="missing, oldest first: " + ", ".join(_percent(share) for share in profile.missing),
        spark=_spark(profile.missing),
        typical=_typical(profile),
        bars=_bars(profile.bins),
        ends=_ends(profile),
        move=_MOVES[profile.drift.move] if profile.drift else None,
    )


def _percent(share: float) -> str:
    """Write a share so that only none is 0 % and only all is 100 %."""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def _typical(profile: FeatureProfile) -> tuple[tuple[str, str], ...]:
    if profile.feature.kind == "numeric":
        return tuple((label, short(value)) for label, value in profile.typical)
    return tuple((_shortened(label), _percent(share)) for label, share in profile.typical)


def _shortened(label: str) -> str:
    return label if len(label) <= _LONGEST_CATEGORY else f"{label[: _LONGEST_CATEGORY - 1]}…"


def _bars(bins: Sequence[Bin]) -> tuple[_Bar, ...]:
    """Place the bars: heights relative to the tallest, missing apart from the values."""
    totals = [max(1, sum(getattr(one, moment) for one in bins)) for moment in ("before", "now")]
    shares = [(one.before / totals[0], one.now / totals[1]) for one in bins]
    tallest = max((share for pair in shares for share in pair), default=0.0) or 1.0
    slot = _WIDTH / max(len(bins) + 0.5, 5)
    compared = any(one.before for one in bins)
    found = []
    apart = 0.0
    for position, (one, (before, now)) in enumerate(zip(bins, shares, strict=True)):
        shown = f"{_percent(before)} → {_percent(now)}" if compared else _percent(now)
        heights = (_HEIGHT * before / tallest, _HEIGHT * now / tallest)
        found.append(
            _Bar(position * slot + apart, slot * 0.84, *heights, one.label == MISSING, f"{one.label}: {shown}")
        )
        apart = slot / 2 if one.label == MISSING else apart
    return tuple(found)


def _ends(profile: FeatureProfile) -> tuple[str, str] | None:
    """Return what stands under the first and the last bin of numbers."""
    labels = [one.label for one in profile.bins if one.label != MISSING]
    return None if profile.feature.kind == "categorical" or not labels else (labels[0], labels[-1])


def _spark(shares: Iterable[float]) -> str:
    """Return the corners of an area from 0 to 100 %, a moment each."""
    found = list(shares)
    step = _SPARK_WIDTH / max(len(found) - 1, 1)
    line = " ".join(f"{k * step:.1f},{(1 - share) * _SPARK_HEIGHT:.1f}" for k, share in enumerate(found))
    return f"0,{_SPARK_HEIGHT:.0f} {line} {(len(found) - 1) * step:.1f},{_SPARK_HEIGHT:.0f}"
