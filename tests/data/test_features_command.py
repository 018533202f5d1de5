"""`clew features`: the list fits a narrow screen, the page says what the rows say, own definitions are everywhere."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.warehouse import Warehouse
from features.definitions import Feature
from tests.commands import CommandLine, Ran

AS_OF = "2026-11-01"
OWN = """
- name: webinars_attended_and_clicks_120d
  group: webinars
  compute: {how: event_count, types: [webinar_attended, email_click], days: 120}
  label: {en: "webinars and clicks, last 120 days", zh: "研讨会与点击（近 120 天）"}
- name: whitepaper_visits_40d
  compute: {how: event_count, types: [whitepaper_downlod], days: 40}
  label: {en: "white papers, last 40 days"}
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A simulated team with two own features, the second one misspelt."""
    line = CommandLine(tmp_path_factory.mktemp("features"))
    assert line("simulate", "--leads", 300).code == 0
    assert line("import", "var/simulated/export", "--mapping", "var/simulated/export/mapping.yaml").code == 0
    (line.folder / "var" / "features.yaml").write_text(OWN, "utf-8")
    return line


@pytest.fixture(scope="module")
def page(team: CommandLine) -> str:
    ran = team("features", "--as-of", AS_OF, "--page")
    assert ran.code == 0, ran
    assert not ran.out
    assert "always missing" in ran.err
    return (team.folder / "var" / "features.html").read_text("utf-8")


def listed(ran: Ran) -> list[dict[str, object]]:
    assert ran.code == 0, ran
    found: list[dict[str, object]] = json.loads(ran.out)
    return found


def row_of(page: str, name: str) -> str:
    """Return the words in a feature's row of the page."""
    row = re.search(rf'<tr id="{name}">(.*?)</tr>', page, re.DOTALL)
    assert row
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", row[1])))


def test_the_list_fits_a_narrow_screen_and_cuts_no_name(team: CommandLine) -> None:
    ran = team("features", "--list")
    assert ran.code == 0
    assert not ran.out
    lines = ran.err.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["feature", "words", "reads", "window", "needs"]
    # A name goes on in the line below; joined again they are the names of the catalogue.
    text = "".join(line[:22].strip() for line in lines[2:])
    names = [str(feature["name"]) for feature in listed(team("features", "--list", "--json"))]
    for name in names:
        assert name in text
    # Between two columns there is always a space.
    rows = lines[2 : next(number for number, line in enumerate(lines) if line.startswith(f"{len(names)} features"))]
    assert {line[at] for line in rows for at in (22, 44, 63, 72)} == {" "}


def test_a_wide_screen_gives_each_feature_one_line(team: CommandLine) -> None:
    lines = team("features", "--list", width=250).err.splitlines()
    names = [feature["name"] for feature in listed(team("features", "--list", "--json"))]
    shown = [line.split()[0] for line in lines if line.split()[0] in names]
    assert shown == names
    own = next(line for line in lines if line.startswith("webinars_attended_and_clicks_120d *"))
    for part in ("webinars and clicks, last 120 days", "events: webinar_attended, email_click", "120 days", "events"):
        assert part in own
    assert "your own definition" in lines[-2]


def test_the_json_list_is_the_catalogue_with_own_definitions(team: CommandLine) -> None:
    features = [Feature.model_validate(feature) for feature in listed(team("features", "--list", "--json"))]
    own = [feature for feature in features if feature.name.endswith(("120d", "40d"))]
    assert [(feature.kind, feature.needs, feature.group) for feature in own] == [
        ("numeric", "events", "webinars"),
        ("numeric", "events", "whitepaper_visits_40d"),
    ]


def test_an_event_type_that_nobody_has_shown_is_questioned(team: CommandLine) -> None:
    ran = team("features", "--list")
    told = " ".join(ran.err.split())
    assert "whitepaper_visits_40d: no event of the type whitepaper_downlod has been imported, did you mean" in told
    assert "did you mean whitepaper_download?" in told
    assert "no event of the type webinar_attended" not in told


def test_own_features_are_computed_with_the_others(team: CommandLine) -> None:
    ran = team("features", "--as-of", AS_OF, "--json")
    report = json.loads(ran.out)
    table = pq.read_table(team.folder / "var" / "features.parquet")
    assert report["open_leads"] == len(table)
    found = table.column("webinars_attended_and_clicks_120d").to_pylist()
    with Warehouse(team.settings().warehouse_dir).connect() as connection:
        expected = connection.execute(
            "SELECT COUNT(e.event_id) FROM (SELECT UNNEST($leads) AS lead_id) AS l LEFT JOIN events AS e "
            "ON e.lead_id = l.lead_id AND e.type IN ('webinar_attended', 'email_click') AND e.known_at <= $now "
            "AND e.occurred_at >= $now::TIMESTAMPTZ - INTERVAL 120 DAY AND e.occurred_at < $now "
            "GROUP BY l.lead_id ORDER BY l.lead_id",
            {"leads": table.column("lead_id").to_pylist(), "now": f"{AS_OF}T00:00:00Z"},
        ).fetchall()
    # A person's duplicate leads add their events.
    assert sum(found) >= sum(count for (count,) in expected) > 0
    assert sum(mine >= count for mine, (count,) in zip(found, expected, strict=True)) == len(found)
    assert set(table.column("whitepaper_visits_40d").to_pylist()) == {0.0}


def test_the_page_says_what_the_rows_say(team: CommandLine, page: str) -> None:
    assert team("features", "--as-of", AS_OF).code == 0
    table = pq.read_table(team.folder / "var" / "features.parquet")
    assert f"{len(table)} open leads now" in page
    for name in ("employees", "days_since_event", "source"):
        column = table.column(name)
        assert f" {100 * column.null_count / len(table):.0f} % " in row_of(page, name)
    views = sorted(table.column("page_views_90d").to_pylist())
    assert f"median {views[(len(views) - 1) // 2]:.0f} " in row_of(page, "page_views_90d")
    own = row_of(page, "webinars_attended_and_clicks_120d")
    for part in (
        "own definition",
        "webinars and clicks",
        "研讨会与点击",
        "events: webinar_attended, email_click",
        "120 days",
    ):
        assert part in own


def test_the_page_has_every_feature_and_counts_the_constant_ones(team: CommandLine, page: str) -> None:
    names = [feature["name"] for feature in listed(team("features", "--as-of", AS_OF, "--list", "--json"))]
    assert re.findall(r'<tr id="([^"]+)">', page) != []
    assert sorted(re.findall(r'<tr id="([^"]+)">', page)) == sorted(map(str, names))
    report = json.loads(team("features", "--as-of", AS_OF, "--page", "--json").out)
    assert report["features"] == len(names)
    assert "whitepaper_visits_40d" in report["constant"]
    assert f"<b>{len(report['constant'])}</b>the same for every lead" in page


def test_the_page_holds_no_personal_data(team: CommandLine, page: str) -> None:
    with Warehouse(team.settings().warehouse_dir).connect() as connection:
        rows = connection.execute("SELECT lead_id, person_id, name, email, phone FROM contacts").fetchall()
    personal = {str(value) for row in rows for value in row if value is not None and len(str(value)) > 5}
    assert len(personal) > 300
    text = unescape(page)
    assert not [value for value in personal if value in text]


def test_the_same_moment_gives_the_same_page_to_the_byte(team: CommandLine, page: str) -> None:
    assert team("features", "--as-of", AS_OF, "--page", "--out", "again.html").code == 0
    assert (team.folder / "again.html").read_text("utf-8") == page


def test_a_future_fact_never_changes_a_past_page(team: CommandLine, tmp_path: Path) -> None:
    line = CommandLine(tmp_path)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "warehouse").symlink_to(team.settings().warehouse_dir, target_is_directory=True)
    moment = "2026-03-01"
    assert line("features", "--as-of", moment, "--page").code == 0
    text = (tmp_path / "var" / "features.html").read_text("utf-8")
    assert "2026-02-01" in text
    with Warehouse(team.settings().warehouse_dir).connect() as connection:
        for view in ("leads", "events", "outcomes", "stages"):
            connection.execute(f"CREATE TABLE kept_{view} AS FROM {view} WHERE known_at <= '{moment}T00:00:00Z'")
            connection.execute(f"CREATE OR REPLACE VIEW {view} AS FROM kept_{view}")
        assert_same_page(line, connection, text, moment)


def assert_same_page(line: CommandLine, connection: object, text: str, moment: str) -> None:
    """Make the page again from what was known by then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Warehouse, "connect", lambda *_, **__: connection)
        assert line("features", "--as-of", moment, "--page", "--out", "then.html").code == 0
    assert (line.folder / "then.html").read_text("utf-8") == text


def test_a_page_and_a_list_at_once_and_a_folder_that_cannot_be_written_are_refused(team: CommandLine) -> None:
    both = team("features", "--page", "--list")
    assert both.code == 2
    assert "--page and --list" in both.err
    (team.folder / "file").touch()
    ran = team("features", "--as-of", AS_OF, "--page", "--out", "file/page.html")
    assert ran.code == 4
    assert "choose another place" in ran.err


def test_a_wrong_definition_ends_with_its_number_and_name_and_computes_nothing(team: CommandLine) -> None:
    wrong = team.folder / "wrong.yaml"
    wrong.write_text("- {name: events_30d, compute: {how: visits, days: 3}, label: {en: x}}", "utf-8")
    target = team.folder / "never.parquet"
    ran = team("features", "--as-of", AS_OF, "--out", target, CLEW_FEATURES_FILE=str(wrong))
    assert ran.code == 2
    assert "wrong.yaml: definition 1 (events_30d)" in ran.err
    assert not target.exists()


def test_treatments_are_features_only_where_they_are_asked_for(team: CommandLine) -> None:
    without = {str(feature["name"]) for feature in listed(team("features", "--list", "--json"))}
    asked = {str(feature["name"]) for feature in listed(team("features", "--list", "--json", CLEW_TREATMENTS="true"))}
    assert asked - without == {"sales_response_hours"}
    assert without < asked
