"""One look at everything: what follows from what was found, done once a day, told in words and on a page."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from data.clock import DAY_US, parse_moment, to_us
from data.importing import import_export
from data.mapping import load_mapping
from data.simulator import simulate
from data.store.engine import open_store
from data.store.migrate import migrate
from data.store.scores import history
from data.warehouse import Warehouse
from features.catalogue import Catalogue
from features.words import Words
from monitoring.drift.finding import BROKEN_DATA, KINDS, Finding, Kind
from monitoring.drift.report import DriftReport, measure_drift
from monitoring.drift.scores import known_levels
from monitoring.drift.windows import read_cohorts
from monitoring.monitor_command import monitor, show_watched
from monitoring.page import promise_picture, render_monitor_page
from monitoring.served_features import lend_columns
from monitoring.trigger import SOONER_DAYS, call_for
from monitoring.watch import _answered, act_on, watch
from tests.model.conftest import beside_prior_and_rules, settings_in
from tests.model.planted import END
from tests.model.watched import settings_of, write_promises
from tests.reference.worlds import EVIDENCE
from tests.service.bundles import small_bundle
from training.bundles.bundle import Bundle, pointed_bundle
from training.monthly.retrain import Retrained

if TYPE_CHECKING:
    from pathlib import Path

    from data.settings import Settings
    from monitoring.watch import Watched

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")
AS_OF_US = to_us(END)


def finding(kind: Kind) -> Finding:
    return Finding(kind, "x", "act", Words(en="e", zh="z"))


@pytest.mark.parametrize("kind", sorted(BROKEN_DATA))
def test_broken_data_are_mended_first_even_when_a_month_is_over(kind: Kind) -> None:
    call = call_for([finding("ranking_lost"), finding(kind)], learnt_days=40, new_month=True)
    assert call.act == "mend"
    assert call.because == (f"{kind} x",)
    assert KINDS[kind].en in call.reason.en


def test_a_month_is_the_default_and_nothing_else_retrains_a_sound_model() -> None:
    assert call_for([], learnt_days=20, new_month=False).act == "none"
    assert call_for([], learnt_days=20, new_month=True).act == "retrain"
    assert call_for([], learnt_days=None, new_month=False).act == "retrain"


@pytest.mark.parametrize("kind", ["promise_broken", "ranking_lost"])
def test_a_broken_record_retrains_at_once_but_not_the_model_of_today(kind: Kind) -> None:
    assert call_for([finding(kind)], learnt_days=2, new_month=False).act == "retrain"
    assert call_for([finding(kind)], learnt_days=0.2, new_month=False).act == "none"


@pytest.mark.parametrize("kind", ["values_moved", "score_moved", "reasons_moved"])
def test_what_has_moved_retrains_after_two_weeks(kind: Kind) -> None:
    assert call_for([finding(kind)], learnt_days=SOONER_DAYS - 1, new_month=False).act == "none"
    assert call_for([finding(kind)], learnt_days=SOONER_DAYS, new_month=False).act == "retrain"


def test_only_the_level_recalibrates_and_more_than_the_level_retrains() -> None:
    level = finding("base_rate_moved")
    assert call_for([level], learnt_days=20, new_month=False).act == "recalibrate"
    assert call_for([level, finding("values_moved")], learnt_days=20, new_month=False).act == "retrain"


def test_a_level_that_is_only_watched_asks_whether_the_intercept_is_to_be_moved() -> None:
    watched = Finding("base_rate_moved", "record", "watch", Words(en="e", zh="z"))
    call = call_for([watched], learnt_days=20, new_month=False)
    assert (call.act, call.because) == ("recalibrate", ("base_rate_moved record",))


@pytest.mark.parametrize("kind", ["values_moved", "ranking_lost", "promise_broken"])
def test_what_was_found_at_the_last_retrain_calls_for_none_before_the_month_is_over(kind: Kind) -> None:
    known = {f"{kind} x"}
    assert call_for([finding(kind)], learnt_days=20, new_month=False, answered=known).act == "none"
    assert call_for([finding(kind)], learnt_days=20, new_month=True, answered=known).act == "retrain"
    other = Finding(kind, "y", "act", Words(en="e", zh="z"))
    assert call_for([finding(kind), other], learnt_days=20, new_month=False, answered=known).because == (f"{kind} y",)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A team whose CRM renamed a source four weeks before the end, with scores given every month."""
    folder = tmp_path_factory.mktemp("renamed")
    report = simulate(leads=2000, seed=8, out=folder, end=END, months=13)
    leads = pd.read_csv(report.export / "leads.csv", dtype=str)
    renamed = (leads["Lead Source"] == "webinar") & (pd.to_datetime(leads["Created"]) >= pd.Timestamp("2026-10-04T00Z"))
    leads.loc[renamed, "Lead Source"] = "online event"
    leads.to_csv(report.export / "leads.csv", index=False)
    import_export(report.export, load_mapping(report.export / "mapping.yaml"), Warehouse(folder / "warehouse"), now=END)
    write_promises(settings_of(folder), report.truth, months=("2026-04-01", "2026-11-01"))
    return folder


@pytest.fixture(scope="module")
def seen(home: Path) -> Watched:
    return watch(settings_of(home), as_of_us=AS_OF_US)


def test_a_renamed_source_is_named_and_keeps_the_retrain_waiting(seen: Watched) -> None:
    assert [(f.kind, f.subject) for f in seen.findings] == [("category_renamed", "leads.source")]
    assert "'webinar'" in seen.findings[0].evidence.en
    assert "'online event'" in seen.findings[0].evidence.en
    assert seen.call.act == "mend"
    assert seen.record is not None
    assert seen.record.level is not None
    assert seen.drift is not None


def test_before_the_rename_nothing_is_found(home: Path) -> None:
    # Four weeks earlier, by what was known then.
    before = watch(settings_of(home), as_of_us=AS_OF_US - 28 * DAY_US)
    assert before.findings == ()
    assert before.call.act == "retrain"  # no model is served in this home


def test_a_second_look_sees_the_same_and_leaves_the_history_as_it_was(home: Path, seen: Watched) -> None:
    told = json.dumps(seen.as_dict(), sort_keys=True)
    with closing(open_store(settings_of(home).store_url)) as store:
        before = history(store, "L-0000900")
        assert before
        assert json.dumps(watch(settings_of(home), as_of_us=AS_OF_US).as_dict(), sort_keys=True) == told
        assert history(store, "L-0000900") == before


def test_broken_data_train_nothing_and_the_day_is_kept(home: Path, seen: Watched) -> None:
    settings = settings_of(home)
    first, again = act_on(settings, seen), act_on(settings, seen)
    assert (first.act, first.fresh) == ("mend", True)
    assert (again.act, again.outcome, again.fresh) == ("mend", first.outcome, False)
    assert not (home / "retrain").exists()
    kept = json.loads((home / "monitor" / "2026-11-01.json").read_text("utf-8"))
    assert kept["call"]["because"] == ["category_renamed leads.source"]


def test_data_that_were_mended_the_same_day_are_trained_on(
    due: Settings, seen: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.monthly import retrain as month

    told = Retrained("keep", "The champion stays.", False, "2", "sha256:x", "page")
    monkeypatch.setattr(month, "retrain", lambda *_, **__: told)
    assert act_on(due, seen).act == "mend"
    mended = replace(seen, call=call_for([], learnt_days=None, new_month=False))
    assert (act_on(due, mended).act, act_on(due, mended).fresh) == ("retrain", False)
    assert act_on(due, seen).act == "retrain"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_stands_alone_and_tells_what_was_found(seen: Watched, language: str) -> None:
    page = render_monitor_page(seen, language=language)  # type: ignore[arg-type]
    assert KINDS["category_renamed"].in_language(language) in page  # type: ignore[arg-type]
    assert seen.findings[0].evidence.in_language(language).split(",")[0].split("“")[0] in page.replace("&#39;", "'")  # type: ignore[arg-type]
    outside = [link for link in re.findall(r"(?:src|href)=|https?://[^\"' <]+", page) if "w3.org" not in link]
    assert outside == []
    assert "<script" not in page
    assert page.count("<svg") == 1


def test_names_from_the_data_are_no_markup(seen: Watched) -> None:
    assert seen.drift is not None
    bad = Finding("source_stopped", "leads.source: <b>x</b>", "act", Words(en="<i>", zh="<i>"))
    page = render_monitor_page(replace(seen, drift=replace(seen.drift, findings=(bad,))))
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


def test_the_picture_shows_each_month_and_a_dot_only_where_something_has_matured(seen: Watched) -> None:
    assert seen.record is not None
    drawn = promise_picture(seen.record.promises)
    months = {one.month for one in seen.record.promises}
    matured = {one.month for one in seen.record.promises if one.mature}
    assert drawn.count('class="promised"') == len(months)
    assert drawn.count("<circle") == len(matured) < len(months)


def test_what_is_shown_names_the_finding_and_what_to_do(seen: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    show_watched(seen)
    shown = capsys.readouterr()
    told = shown.out + shown.err
    assert "a category was renamed" in told
    assert "mend" in told


def test_the_command_writes_json_and_a_page_and_does_nothing_unasked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"CLEW_HOME": home, "CLEW_MLRUNS": home / "mlruns"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(monitor)
    ran = CliRunner().invoke(app, ["--as-of", "2026-11-01", "--json", "--page", str(tmp_path / "m.html")])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["call"]["act"] == "mend"
    assert told["done"] is None
    assert "<svg" in (tmp_path / "m.html").read_text("utf-8")


def test_without_scores_the_record_is_not_measured_and_never_green(home: Path, tmp_path: Path) -> None:
    settings = settings_of(home).model_copy(update={"store": f"sqlite:///{tmp_path / 'empty.sqlite'}"})
    migrate(settings.store_url)
    found = watch(settings, as_of_us=AS_OF_US)
    assert found.record is None
    assert any(reason.startswith("record:") for reason in found.not_measured)


def test_with_little_history_drift_is_not_measured_and_says_why(home: Path) -> None:
    early = to_us(parse_moment("2025-12-15"))
    found = watch(settings_of(home), as_of_us=early)
    assert found.drift is None
    assert any("are needed" in reason for reason in found.not_measured)


@pytest.fixture(scope="module")
def with_model(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DriftReport, Bundle]:
    """The drift beside a model that was fitted on other leads, whose data ended with the export."""
    bundle = small_bundle(tmp_path_factory.mktemp("sealed") / "bundle")
    with Warehouse(home / "warehouse").connect() as connection:
        lend_columns(connection, bundle.catalogue)
        return measure_drift(connection, bundle.catalogue, AS_OF_US, bundle=bundle, learnt_until_us=AS_OF_US), bundle


def test_a_served_model_tells_scores_grades_and_reasons_of_the_arrivals(
    with_model: tuple[DriftReport, Bundle],
) -> None:
    report, bundle = with_model
    assert report.scores is not None
    assert set(report.scores.grades) <= {grade.grade for grade in bundle.grades}
    for mix in (report.scores.grades, report.scores.reasons):
        assert sum(pair[0] for pair in mix.values()) == pytest.approx(1)
        assert sum(pair[1] for pair in mix.values()) == pytest.approx(1)


def test_categories_that_the_model_has_no_level_for_count_as_unknown(
    home: Path, with_model: tuple[DriftReport, Bundle]
) -> None:
    report, bundle = with_model
    levels = known_levels(bundle)["source"]
    with Warehouse(home / "warehouse").connect() as connection:
        arrived = read_cohorts(connection, Catalogue(features=bundle.catalogue.features[:1]), report.windows)
    sources = arrived.table["source"].to_pylist()
    now = [s for s, window in zip(sources, arrived.window, strict=True) if window == report.windows.count - 1]
    by_hand = sum(source is not None and source not in levels for source in now) / len(now)
    told = next(field for field in report.fields if field.feature == "source")
    assert told.unknown_now == pytest.approx(by_hand)
    assert 0 < by_hand < 1


@pytest.fixture
def due(little_home: Path, tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path / "home", judge_from="2026-06-15")
    return settings.model_copy(update={"warehouse": little_home / "warehouse"})


def test_what_is_due_is_retrained_once_a_day_for_the_moment_that_was_asked(
    due: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.monthly import retrain as month

    calls = []

    def told(settings: Settings, *, as_of: str, **_: object) -> Retrained:
        calls.append((settings.home, as_of))
        return Retrained("keep", "The champion stays.", False, "2", "sha256:x", "page")

    monkeypatch.setattr(month, "retrain", told)
    seen = watch(due, as_of_us=AS_OF_US)
    assert seen.call.act == "retrain"
    done = [act_on(due, watch(due, as_of_us=AS_OF_US + hour * DAY_US // 24)) for hour in (0, 1)]
    assert [one.fresh for one in done] == [True, False]
    assert calls == [(due.home, "2026-11-01T00:00:00Z")]
    assert act_on(due, watch(due, as_of_us=AS_OF_US + DAY_US)).fresh
    assert len(calls) == 2


def test_the_last_retrain_before_a_look_tells_what_has_been_answered(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    (tmp_path / "monitor").mkdir()
    for day, act, found in (
        ("2026-09-07", "retrain", ["values_moved a"]),
        ("2026-10-05", "retrain", ["values_moved b"]),
        ("2026-10-12", "none", ["values_moved c"]),
        ("2026-11-02", "retrain", ["values_moved d"]),
    ):
        told = {"as_of": f"{day}T00:00:00Z", "findings": found, "call": {"because": []}, "done": {"act": act}}
        (tmp_path / "monitor" / f"{day}.json").write_text(json.dumps(told))
    assert _answered(settings, to_us(parse_moment("2026-10-19"))) == {"values_moved b"}
    # The same look again, and one before any retrain.
    assert _answered(settings, to_us(parse_moment("2026-10-05"))) == {"values_moved a"}
    assert _answered(settings, to_us(parse_moment("2026-09-07"))) == frozenset()


# Half a minute of training: on every run the calls are counted here, and the month itself is shown by test_retrain.
@pytest.mark.skipif(not EVIDENCE, reason="a whole monthly run, which its own tests show; `make evidence` runs it")
def test_a_retrain_that_was_called_for_really_trains(due: Settings) -> None:
    with beside_prior_and_rules():
        done = act_on(due, watch(due, as_of_us=AS_OF_US))
    assert done.act == "retrain"
    assert done.outcome.startswith("retrained: version 1")
    assert list((due.home / "retrain").glob("2026-11-01*/done.json"))
    assert pointed_bundle(due.bundles_dir) is None or "promoted" in done.outcome


def test_a_retrain_that_fails_is_not_kept_as_done(due: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from data.errors import InfrastructureError
    from training.monthly import retrain as month

    def refused(*_: object, **__: object) -> Retrained:
        raise InfrastructureError("another retrain is running")

    monkeypatch.setattr(month, "retrain", refused)
    seen = watch(due, as_of_us=AS_OF_US)
    with pytest.raises(InfrastructureError):
        act_on(due, seen)
    assert not (due.home / "monitor").exists() or not list((due.home / "monitor").glob("*.json"))
