"""The settings: arguments before environment before clew.yaml, and what is misspelt is refused with the nearest key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from data.errors import InfrastructureError, UsageError
from data.settings import Plan, Settings, load_settings


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Leave nothing of this machine's settings."""
    for name in [name for name in os.environ if name.startswith("CLEW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str) -> None:
    Path("clew.yaml").write_text(text, "utf-8")


def test_without_anything_said_there_are_defaults_below_var() -> None:
    settings = load_settings()
    assert (settings.warehouse_dir, settings.bundles_dir) == (Path("var/warehouse"), Path("var/bundles"))
    assert (settings.host, settings.port, settings.timezone) == ("127.0.0.1", 8020, "UTC")
    assert settings.plan is None


def test_arguments_come_before_the_environment_and_that_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write("port: 1000\ncapacity: 3\nseed: 9\n")
    monkeypatch.setenv("CLEW_PORT", "2000")
    monkeypatch.setenv("CLEW_CAPACITY", "4")
    settings = load_settings(port=3000)
    assert (settings.port, settings.capacity, settings.seed) == (3000, 4, 9)


def test_the_file_may_hold_every_setting() -> None:
    write(
        "home: /data\nwarehouse: /fast/warehouse\nbundles: b\nmlruns: m\ntimezone: Asia/Shanghai\n"
        "target_industries: [retail]\nscorecard: s.yaml\nplan: {goal: sql, horizon_days: 30, ages_days: [1]}\n"
        "capacity: 5\nseed: 1\nfeatures_file: f.yaml\ntreatments: true\nstore: sqlite:///s.sqlite\n"
        "exports: [{folder: /exports/crm, mapping: salesforce}]\nallow_leaks: [custom_grade]\n"
        "engine: spark\nthreads: 2\nquery_threads: 2\nhost: 0.0.0.0\nport: 80\nworkers: 3\n"
        "keep_events_days: 1000\nkeep_scores_days: 400\nkeep_contacts_days: 400\n"
        "score_log: false\nholdout_share: 0.05\nholdout_salt: s\nwebhook_private: true\n"
    )
    settings = load_settings()
    assert set(Settings.model_fields) == settings.model_fields_set
    assert settings.warehouse_dir == Path("/fast/warehouse")
    assert settings.plan == Plan(goal="sql", horizon_days=30, ages_days=(1,))
    assert str(settings.zone) == "Asia/Shanghai"


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n"])
def test_an_empty_file_says_nothing(text: str) -> None:
    write(text)
    assert load_settings() == load_settings(seed=7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot: 1", "prot is no setting; did you mean port"),
        ("colour: red", "colour is no setting; there are home, warehouse"),
        ("plan: {horizon: 3}", r"plan\.horizon is no setting; did you mean horizon_days"),
        ("port: 0", "port: .*greater than or equal to 1"),
        ("capacity: [1]", "capacity: .*valid integer"),
        ("plan: {goal: rich}", r"plan\.goal: .*'won', 'opportunity' or 'sql'"),
        ("timezone: Mars", "timezone: a time zone of the IANA database"),
        ("- port", "clew.yaml holds no keys"),
        ("port: [", "clew.yaml is no YAML at line"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key(text: str, message: str) -> None:
    write(text)
    with pytest.raises(UsageError, match=message):
        load_settings()


def test_a_value_is_never_repeated() -> None:
    write("port: Secretname\nworkers: {a: Secretname}\n")
    with pytest.raises(UsageError, match="port: ") as refused:
        load_settings()
    assert "workers: " in str(refused.value)
    assert "Secretname" not in str(refused.value)


def test_a_file_in_another_encoding_and_a_folder_in_its_place_are_refused() -> None:
    Path("clew.yaml").write_bytes("scorecard: é".encode("latin-1"))
    with pytest.raises(UsageError, match=r"clew\.yaml is not UTF-8"):
        load_settings()
    Path("clew.yaml").unlink()
    Path("clew.yaml").mkdir()
    with pytest.raises(InfrastructureError, match=r"clew\.yaml cannot be read"):
        load_settings()


@pytest.mark.parametrize("name", ["CLEW_PROT", "CLEW_HOEM", "clew_bundle", "CLEW_TIMEZON"])
def test_a_misspelt_variable_is_refused_with_the_right_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(UsageError, match=f"{name} is no setting; did you mean CLEW_"):
        load_settings()


@pytest.mark.parametrize("name", ["CLEW_SERVICE_HOST", "CLEW_PORT_8020_TCP", "CLEW_OWNER_PID", "CLEW_DATASETS"])
def test_a_variable_of_something_else_does_no_harm(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:8020")
    assert load_settings().port == 8020


def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_TARGET_INDUSTRIES", '["retail", "software"]')
    assert load_settings().target_industries == ("retail", "software")
    monkeypatch.setenv("CLEW_TARGET_INDUSTRIES", "retail")
    with pytest.raises(UsageError, match=r"target_industries.*JSON"):
        load_settings()


def test_capitals_make_no_other_setting() -> None:
    write("Port: 81\n")
    assert load_settings().port == 81


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().port = 1  # type: ignore[misc]
