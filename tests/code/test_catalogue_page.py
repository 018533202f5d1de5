"""The page of the catalogue: sound histograms, no false alarms, nothing personal, nothing from elsewhere."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.clock import DAY_US, from_us, iso, parse_moment, to_us
from data.errors import InfrastructureError
from features.bins import KNOWN, MISSING, OTHER, category_bins, number_bins
from features.catalogue import build_catalogue
from features.catalogue_page import PageContent, render_page, summary_of, write_page
from features.definitions import Catalogue
from features.profile import CrossSection, FeatureProfile, months_back, profile_features
from features.stability import effective_size, measure_drift

NOW = to_us(parse_moment("2026-11-01"))
NAMES = ("source", "employees", "founded_year", "page_views_30d", "lead_age_days", "industry")
CATALOGUE = build_catalogue(event_types=["page_view"]).keep(NAMES)
_quick = settings(max_examples=200, derandomize=True, database=None, deadline=None)


def columns(rng: np.random.Generator, leads: int) -> dict[str, list[object]]:
    """Return features of leads that have nothing peculiar."""
    return {
        "source": [str(one) for one in rng.choice(["web", "fair", "partner"], leads)],
        "employees": [None if rng.random() < 0.2 else float(one) for one in rng.lognormal(4, 2, leads).round()],
        "founded_year": [float(one) for one in rng.integers(1950, 2024, leads)],
        "page_views_30d": [float(one) for one in rng.poisson(1.2, leads)],
        "lead_age_days": [float(one) for one in rng.exponential(60, leads)],
        "industry": [None if rng.random() < 0.1 else str(one) for one in rng.choice(["a", "b"], leads)],
    }


def described(
    months: list[dict[str, list[object]]], catalogue: Catalogue = CATALOGUE, *, accounts: float | None = None
) -> tuple[tuple[CrossSection, ...], tuple[FeatureProfile, ...]]:
    sizes = [len(month["source"]) for month in months]
    moments = months_back(NOW, "UTC", len(months))
    sections = tuple(
        CrossSection(us, size, size, accounts or float(size)) for us, size in zip(moments, sizes, strict=True)
    )
    kinds = {f.name: pa.float64() if f.kind == "numeric" else pa.string() for f in catalogue.features}
    table = pa.table(
        {name: pa.array([value for month in months for value in month[name]], kind) for name, kind in kinds.items()}
    )
    return sections, profile_features(table, catalogue, sections, month_before=len(months) > 1)


def page_of(months: list[dict[str, list[object]]], *, own: frozenset[str] = frozenset()) -> str:
    sections, profiles = described(months)
    return render_page(PageContent(sections, profiles, month_before=len(months) > 1, own=own))


def by_name(profiles: tuple[FeatureProfile, ...]) -> dict[str, FeatureProfile]:
    return {profile.feature.name: profile for profile in profiles}


@pytest.mark.parametrize(("before", "now"), [(12, 9), (30, 30), (100, 80), (500, 520), (5000, 4000)])
@pytest.mark.parametrize("shares", [(1, 1, 1, 1, 1, 1, 1, 1), (90, 5, 3, 1, 0.5, 0.5), (50, 50)])
def test_what_has_not_moved_raises_no_alarm_whatever_the_sample_size(
    before: int, now: int, shares: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(before)
    expected = np.array(shares) / sum(shares)
    pages = 1000
    drifts = [
        measure_drift(rng.multinomial(before, expected), rng.multinomial(now, expected), family=20)
        for _ in range(pages)
    ]
    alarms = sum(drift is not None and drift.move != "steady" for drift in drifts)
    # 5 % of pages of 20 features: 0.25 % of features; three standard errors above it.
    assert alarms <= pages * 0.0025 + 3 * math.sqrt(pages * 0.0025) + 1


def test_the_index_of_samples_that_have_not_moved_is_on_average_what_chance_makes() -> None:
    rng = np.random.default_rng(7)
    shares = np.full(8, 1 / 8)
    drifts = [measure_drift(rng.multinomial(500, shares), rng.multinomial(700, shares)) for _ in range(2000)]
    ratios = [drift.psi / drift.expected for drift in drifts if drift]
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


def test_what_has_moved_is_found_even_in_modest_samples() -> None:
    rng = np.random.default_rng(8)
    found = [measure_drift(rng.multinomial(300, [0.7, 0.3]), rng.multinomial(300, [0.4, 0.6]), family=100)] * 20
    assert all(drift and drift.move == "far" for drift in found)


def test_a_large_sample_tells_a_small_move_from_none_without_calling_it_drift() -> None:
    drift = measure_drift(np.array([50_000, 50_000]), np.array([52_000, 48_000]))
    assert drift
    assert drift.move == "slight"


def test_leads_of_few_companies_leave_more_to_chance() -> None:
    counts = np.array([160, 40]), np.array([100, 100])
    alone, together = measure_drift(*counts), measure_drift(*counts, sizes=(12.0, 12.0))
    assert alone
    assert together
    assert (alone.move, together.move) == ("far", "steady")
    assert effective_size(np.array([50, 50, 1, 1])) == pytest.approx(102**2 / 5002)


def test_an_empty_moment_has_no_drift() -> None:
    assert measure_drift(np.array([0, 0]), np.array([3, 4])) is None


_numbers = st.lists(
    st.one_of(
        st.just(math.nan),
        st.integers(-5, 40).map(float),
        st.floats(0, 1e7, allow_nan=False),
        st.floats(-1e3, 1e3, allow_nan=False),
    ),
    max_size=120,
)


@_quick
@given(before=_numbers, now=_numbers, log=st.booleans(), fewest=st.sampled_from((1, 10)))
def test_every_lead_is_in_one_bin_and_no_shown_bin_holds_few(
    before: list[float], now: list[float], log: bool, fewest: int
) -> None:
    bins = number_bins(np.array(before, float), np.array(now, float), log=log, fewest=fewest)
    assert (sum(one.before for one in bins), sum(one.now for one in bins)) == (len(before), len(now))
    assert len(bins) <= 11
    gone = [one for one in bins if one.label == MISSING]
    assert sum(one.before + one.now for one in gone) == sum(map(math.isnan, [*before, *now]))
    assert all(max(one.before, one.now) >= fewest for one in bins if one.label not in {MISSING, KNOWN})


@pytest.mark.parametrize(
    ("values", "log", "labels"),
    [
        ([0, 1, 2], True, ["0", "1", "2"]),
        (list(range(21)), True, ["0", "1", "2", "3–4", "5–8", "9–16", "17+"]),
        (list(range(1, 17)), False, ["< 3", "3–4", "5–6", "7–8", "9–10", "11–12", "13–14", "15+"]),
    ],
)
def test_counts_have_bounds_that_people_would_choose(values: list[int], log: bool, labels: list[str]) -> None:
    found = number_bins(np.array([]), np.repeat(np.array(values, float), 10), log=log, fewest=10)
    assert [one.label for one in found] == labels


@_quick
@given(counts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=30))
def test_a_category_of_few_leads_is_never_named(counts: list[tuple[int, int]]) -> None:
    names = [f"name {k}" for k in range(len(counts) - 1)]
    before, now = (np.array([pair[moment] for pair in counts], np.int64) for moment in (0, 1))
    bins = category_bins(names, before, now, fewest=10)
    assert (sum(one.before for one in bins), sum(one.now for one in bins)) == (before.sum(), now.sum())
    assert all(max(one.before, one.now) >= 10 for one in bins if one.label not in {MISSING, OTHER})


def test_missing_typical_and_constant_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    months = [columns(rng, 200), columns(rng, 300)]
    months[1]["page_views_30d"] = [*[0.0] * 150, *[4.0] * 120, *[9.0] * 30]
    for month in months:
        month.update(founded_year=[2000.0] * len(month["source"]), industry=[None] * len(month["source"]))
    _, profiles = described(months)
    found = by_name(profiles)
    expected = [sum(value is None for value in month["employees"]) / len(month["employees"]) for month in months]
    assert found["employees"].missing == pytest.approx(expected)
    assert found["page_views_30d"].typical == (("median", 0.0), ("90 % up to", 4.0))
    summary = summary_of(profiles)
    assert (summary.constant, summary.always_missing) == (("founded_year",), ("industry",))
    web = months[1]["source"].count("web") / 300
    assert dict(found["source"].typical)["web"] == pytest.approx(web)


def test_a_feature_that_moved_is_said_first_and_others_are_steady() -> None:
    rng = np.random.default_rng(2)
    months = [columns(rng, 400) for _ in range(6)]
    months[-1]["source"] = [*["web"] * 380, *["fair"] * 20]
    sections, profiles = described(months)
    assert [name for name, _ in summary_of(profiles).moved] == ["source"]
    page = render_page(PageContent(sections, profiles, month_before=True))
    assert re.search(r'<ul class="movers">\s*<li><a class="name" href="#source">', page)
    assert page.count("moved far") == 2
    assert "Nothing moved" in page_of([columns(rng, 400) for _ in range(2)])


def test_a_company_s_feature_is_held_against_the_number_of_companies() -> None:
    rng = np.random.default_rng(3)
    months = [columns(rng, 400) for _ in range(2)]
    months[1]["industry"] = ["a"] * 400
    assert [name for name, _ in summary_of(described(months)[1]).moved] == ["industry"]
    assert summary_of(described(months, accounts=5.0)[1]).moved == ()


def test_without_a_month_before_there_is_no_drift_to_tell() -> None:
    rng = np.random.default_rng(4)
    sections, profiles = described([columns(rng, 50)])
    assert all(profile.drift is None for profile in profiles)
    page = render_page(PageContent(sections, profiles, month_before=False))
    assert "No lead was open a month before" in page
    assert "PSI" not in page


@pytest.mark.parametrize("leads", [1, 2, 9, 10, 11])
def test_a_page_of_few_leads_names_no_value_of_theirs(leads: int) -> None:
    rng = np.random.default_rng(leads)
    month = columns(rng, leads)
    month["source"] = ["Secretsource"] * leads
    month["employees"] = [4711.5] * leads
    page = page_of([month, month])
    assert ("Secretsource" in page) == (leads >= 10)
    assert ("4712" in page) == (leads >= 10)


class _Checked(HTMLParser):
    """Collects what a page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.unnamed = 0
        self.drawings = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert not {"src", "onload", "onclick"} & found.keys()
        assert tag not in {"script", "link", "iframe", "img", "object"}
        self.ids += [str(found["id"])] if "id" in found else []
        self.links += [str(found["href"])] if "href" in found else []
        self.drawings += tag == "svg"
        self.unnamed += tag == "svg" and not found.get("aria-label")
        if tag not in {"meta", "br", "col"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_html_that_loads_nothing_and_names_its_pictures() -> None:
    rng = np.random.default_rng(5)
    page = page_of([columns(rng, 120) for _ in range(6)], own=frozenset({"page_views_30d"}))
    checked = _Checked()
    checked.feed(page)
    assert checked.open == []
    assert len(set(checked.ids)) == len(checked.ids)
    assert {name for name in checked.ids if not name.startswith("group-")} == set(NAMES)
    assert {link.removeprefix("#") for link in checked.links} <= set(checked.ids)
    assert checked.drawings == 2 * len(NAMES)
    assert checked.unnamed == 0
    assert not re.search(r"https?:|//|@import|url\(", page)
    assert page.count("own definition") == 1
    for feature in CATALOGUE.features:
        assert feature.label.en in page
        assert feature.label.zh in page


def test_every_text_of_the_data_is_escaped() -> None:
    month = columns(np.random.default_rng(6), 40)
    month["source"] = ["<b onload='x'>&"] * 40
    page = page_of([month, month])
    assert "<b onload" not in page
    assert "&lt;b onload=&#39;x&#39;&gt;&amp;" in page


def test_the_same_features_give_the_same_page_to_the_byte(tmp_path: Path) -> None:
    sections, profiles = described([columns(np.random.default_rng(9), 60)] * 2)
    content = PageContent(sections, profiles, month_before=True)
    first = write_page(content, tmp_path / "out" / "features.html").read_bytes()
    assert write_page(content, tmp_path / "out" / "features.html").read_bytes() == first
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["features.html"]
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match="cannot be written"):
        write_page(content, tmp_path / "file" / "features.html")


@pytest.mark.parametrize(
    ("moment", "timezone", "expected"),
    [
        ("2026-03-31", "UTC", ["2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]),
        # Midnight in Amsterdam, in winter and in summer.
        ("2026-04-14T22:00:00Z", "Europe/Amsterdam", ["2026-02-14T23:00:00Z", "2026-03-14T23:00:00Z"]),
        ("2026-01-05T08:30:00Z", "UTC", ["2025-11-05T08:30:00Z", "2025-12-05T08:30:00Z"]),
    ],
)
def test_months_go_back_by_the_calendar(moment: str, timezone: str, expected: list[str]) -> None:
    found = [iso(from_us(us)) for us in months_back(to_us(parse_moment(moment)), timezone, 3)]
    assert found[: len(expected)] == expected
    assert len(found) == 3
    assert months_back(DAY_US, timezone, 1) == (DAY_US,)
