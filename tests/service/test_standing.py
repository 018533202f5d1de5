"""What `clew monitor` leaves behind: figures of each day and the newest ones, of nobody, never green unseen."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from data.clock import parse_moment, to_us
from data.importing import import_export
from data.mapping import load_mapping
from data.settings import Settings
from data.simulator import simulate
from data.warehouse import Warehouse
from features.words import Words
from monitoring.drift.finding import Finding
from monitoring.market import Market, measure_market
from monitoring.monitor_command import monitor
from monitoring.standing_file import KEPT_WEEKS, read_standing, standing_path, write_standing
from monitoring.taking_stock import take_stock, without_people
from monitoring.trigger import Call
from monitoring.watch import Watched, watch
from tests.model.planted import END
from tests.model.watched import settings_of, write_promises
from tests.service.standings import days_before, standing_at
from tests.service.test_pages_dashboard import page

AS_OF_US = to_us(END)


def test_newer_figures_are_not_replaced_by_a_look_at_the_past(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    new, old = standing_at(AS_OF_US), standing_at(days_before(AS_OF_US, 30))
    write_standing(new, settings)
    assert write_standing(old, settings).name == "2026-10-02.json"
    assert read_standing(standing_path(tmp_path)).standing == new
    assert read_standing(tmp_path / "monitoring" / "2026-10-02.json").standing == old


def test_copies_are_kept_for_half_a_year_and_foreign_files_for_ever(tmp_path: Path) -> None:
    settings, folder = Settings(home=tmp_path), tmp_path / "monitoring"
    folder.mkdir()
    for name in ("2020-01-01.txt", "cards.json", "9999.json", "2020-13-45x.json"):
        (folder / name).write_text("{}", "utf-8")
    for weeks in range(KEPT_WEEKS + 10, -1, -1):
        write_standing(standing_at(days_before(AS_OF_US, 7 * weeks)), settings)
    copies = sorted(path.name for path in folder.glob("20??-??-??.json"))
    assert len(copies) == KEPT_WEEKS + 1
    assert (copies[0], copies[-1]) == ("2026-05-03.json", "2026-11-01.json")
    assert {"2020-01-01.txt", "cards.json", "9999.json", "2020-13-45x.json"} <= {path.name for path in folder.iterdir()}


def test_a_file_that_cannot_be_written_leaves_the_old_figures(tmp_path: Path) -> None:
    from data.errors import InfrastructureError

    settings = Settings(home=tmp_path)
    before = standing_at(days_before(AS_OF_US, 7))
    write_standing(before, settings)
    (tmp_path / "monitoring" / ".latest.json.part").mkdir()
    with pytest.raises(InfrastructureError):
        write_standing(standing_at(AS_OF_US), settings)
    assert read_standing(standing_path(tmp_path)).standing == before


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("leads.source: li.wei@example.org", "leads.source: …"),
        ("'张伟@公司.cn' 变为 'webinar'", "'…' 变为 'webinar'"),
        ("+86 138-0013-8000 (webinar)", "… (webinar)"),
        ("12,345 leads since 2026-10-01, 2026-11-01", "12,345 leads since 2026-10-01, 2026-11-01"),
    ],
)
def test_what_looks_like_a_persons_address_or_number_is_left_out(text: str, left: str) -> None:
    assert without_people(text) == left


def blind() -> Watched:
    """Return a look that saw neither record nor drift, and speaks of somebody."""
    call = Call("none", Words(en="all is as it was, li@example.org", zh="一切如常"), ("x li@example.org",))
    return Watched("2026-11-01T00:00:00Z", None, None, None, ("record: none by li@example.org", "drift: few"), call)


def test_nothing_measured_is_never_green_and_names_nobody() -> None:
    market = Market(None, None, (("baselines", "figures.yaml is no YAML"),))
    told = take_stock(blind(), market, timezone="UTC")
    assert {lamp.light for lamp in told.lights} == {"not_measured"}
    assert told.light == "not_measured"
    assert [(one.part, one.reason.en) for one in told.not_measured] == [
        ("record", "none by …"),
        ("drift", "few"),
        ("baselines", "figures.yaml is no YAML"),
    ]
    assert "example.org" not in told.model_dump_json()


def test_the_usual_reasons_are_told_in_chinese_too(home: Path) -> None:
    settings = settings_of(home)
    early = replace(watch(settings, as_of_us=to_us(parse_moment("2025-12-15"))), record=None)
    told = take_stock(early, measure_market(settings, AS_OF_US, with_attribution=False), timezone="UTC")
    reasons = {one.part: one.reason for one in told.not_measured}
    assert set(reasons) == {"record", "drift", "attribution"}
    assert all(re.search(r"[\u4e00-\u9fff]", reason.zh) for reason in reasons.values())
    needed = re.search(r"(\d+) are needed", reasons["drift"].en)
    assert needed
    assert f"至少需要 {needed[1]} 个" in reasons["drift"].zh


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A team with ten months of scores, whose entered figures name a person."""
    folder = tmp_path_factory.mktemp("watched")
    report = simulate(leads=1200, seed=8, out=folder, end=END, months=13)
    import_export(report.export, load_mapping(report.export / "mapping.yaml"), Warehouse(folder / "warehouse"), now=END)
    write_promises(settings_of(folder), report.truth, months=("2026-02-01", "2026-11-01"))
    entered = "figures:\n  - {baseline: keyword_rank, at: 2026-10-01, value: 8, owner: Wei Li}\n"
    (folder / "figures.yaml").write_text(entered, "utf-8")
    return folder


@pytest.fixture(scope="module")
def told(home: Path) -> dict[str, Any]:
    """What the command wrote, with everything asked for."""
    app = typer.Typer()
    app.command()(monitor)
    environment = {"CLEW_HOME": str(home), "CLEW_MLRUNS": str(home / "mlruns"), "CLEW_QUERY_THREADS": "1"}
    ran = CliRunner().invoke(app, ["--as-of", "2026-11-01", "--attribution", "--json"], env=environment)
    assert ran.exit_code == 0, ran.output
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_the_command_keeps_what_it_found(home: Path, told: dict[str, Any]) -> None:
    standing = read_standing(standing_path(home)).standing
    assert standing is not None
    assert standing == read_standing(home / "monitoring" / "2026-11-01.json").standing
    assert standing.as_of == "2026-11-01T00:00:00Z"
    assert standing.call.model_dump(mode="json") == told["call"]
    assert [(one.kind, one.subject) for one in standing.findings] == [
        (f["kind"], f["subject"]) for f in told["findings"]
    ]
    record, seen = standing.record, told["record"]
    assert record is not None
    assert [one.wins for one in record.grades] == [one["wins"] for one in seen["promises"]]
    assert [one.low for one in record.grades] == [one["low"] for one in seen["promises"]]
    assert sum(one.mature for one in record.months) == sum(one["mature"] for one in seen["promises"])
    assert (record.level.realised if record.level else None) == seen["level"]["realised"]
    assert record.worked.share == seen["worked"]["share_in_time"]
    assert standing.drift is not None
    assert standing.drift.arrivals == told["drift"]["arrivals"][-1]


def test_baselines_and_channels_are_kept_as_their_commands_tell_them(home: Path, told: dict[str, Any]) -> None:
    assert told
    standing = read_standing(standing_path(home)).standing
    market = measure_market(settings_of(home), AS_OF_US, with_attribution=False)
    assert standing is not None
    assert standing.baselines is not None
    assert standing.attribution is not None
    assert market.baselines is not None
    assert [(row.name, row.light, row.value) for row in standing.baselines.rows] == [
        (row.baseline.name, row.light, row.measured.value) for row in market.baselines.rows
    ]
    assert len({row.pillar for row in standing.baselines.rows}) == 5
    entered = next(row for row in standing.baselines.rows if row.name == "keyword_rank")
    assert (entered.value, entered.light) == (8.0, "green")
    assert sum(one.wins["shapley"] for one in standing.attribution.channels) == pytest.approx(standing.attribution.wins)


def test_no_person_stands_in_the_file_nor_on_the_page(home: Path, told: dict[str, Any]) -> None:
    assert told
    with Warehouse(home / "warehouse").connect() as connection:
        rows = connection.execute("SELECT name, email, phone FROM contacts USING SAMPLE 200 ROWS").fetchall()
    people = {str(value) for row in rows for value in row if value and len(str(value)) > 3} | {"Wei Li"}
    assert len(people) > 100
    for text in (standing_path(home).read_text("utf-8"), page(home), page(home, "zh")):
        assert {person for person in people if person in text} == set()


def test_a_second_run_changes_nothing_but_the_moment(home: Path, told: dict[str, Any]) -> None:
    assert told
    settings = settings_of(home)
    watched = watch(settings, as_of_us=AS_OF_US)
    market = measure_market(settings, AS_OF_US, with_attribution=True)
    first = read_standing(standing_path(home)).standing
    assert first is not None
    again = take_stock(watched, market, timezone=settings.timezone)
    assert again.model_copy(update={"computed_at": first.computed_at}) == first
    assert parse_moment(again.computed_at) >= parse_moment(first.computed_at)


def test_findings_decide_the_lights(home: Path) -> None:
    settings = settings_of(home)
    watched = watch(settings, as_of_us=AS_OF_US)
    assert watched.record is not None
    assert watched.drift is not None
    market = Market(None, None, ())

    def lights(record: tuple[Finding, ...], drift: tuple[Finding, ...]) -> dict[str, str]:
        assert watched.record is not None
        assert watched.drift is not None
        made = replace(
            watched, record=replace(watched.record, findings=record), drift=replace(watched.drift, findings=drift)
        )
        return {lamp.name: lamp.light for lamp in take_stock(made, market, timezone="UTC").lights}

    words = Words(en="e", zh="z")
    quiet = {"promise": "green", "order": "green", "data": "green", "baselines": "not_measured"}
    assert lights((), ()) == quiet
    assert lights((Finding("base_rate_moved", "record", "act", words),), ()) == quiet | {"promise": "red"}
    assert lights((Finding("ranking_lost", "record", "act", words),), ()) == quiet | {"order": "red"}
    assert lights((), (Finding("volume_moved", "leads", "watch", words),)) == quiet | {"data": "amber"}
    assert lights((), (Finding("field_emptied", "x", "act", words),)) == quiet | {"data": "red"}


def test_what_is_in_the_way_of_the_baselines_does_not_stop_the_look(home: Path, tmp_path: Path) -> None:
    from data.errors import UsageError

    (tmp_path / "figures.yaml").write_text("figures: [", "utf-8")
    settings = settings_of(tmp_path).model_copy(update={"warehouse": home / "warehouse"})
    market = measure_market(settings, AS_OF_US, with_attribution=True)
    assert (market.baselines, market.attribution) == (None, None)
    assert [part for part, _ in market.not_measured] == ["baselines", "attribution"]
    with pytest.raises(UsageError):
        measure_market(settings, AS_OF_US, with_attribution=False, file=tmp_path / "no-such.yaml")
