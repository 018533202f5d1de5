"""The month in one call: again is a no-op, a crash goes on where it was, the champion is never half replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.errors import DataError, InfrastructureError, UsageError
from data.settings import Export, Settings
from data.simulator import simulate
from data.warehouse import Warehouse
from tests.model.conftest import CUTOFF, beside_prior_and_rules, settings_in, undrawn
from training import run
from training.bundles import publishing
from training.bundles.bundle import Bundle, pointed_bundle
from training.bundles.registry import Registry
from training.gating.gate import Verdict
from training.learning.recipe import Choices
from training.monthly import journal
from training.monthly import retrain as month
from training.monthly.journal import Journal, running_alone
from training.monthly.retrain import Retrained, retrain

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")
AS_OF = "2026-11-01"


class Killed(BaseException):
    """What a kill -9 is to code that catches errors: nothing."""


@pytest.fixture(scope="module", autouse=True)
def few_peers() -> Iterator[None]:
    with beside_prior_and_rules():
        yield


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(leads=500, seed=5, out=tmp_path_factory.mktemp("export"), end=CUTOFF).export


@pytest.fixture(scope="module")
def settings(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("month")
    taken = Export(folder=export, mapping=str(export / "mapping.yaml"))
    # Two cross-sections are judged: what is tested here does not hang on how many.
    return settings_in(home, judge_from="2026-06-15").model_copy(update={"exports": (taken,)})


@pytest.fixture(scope="module")
def states(settings: Settings) -> dict[str, Path]:
    """Run the month once, and keep what lay on disk after each step of the journal."""
    kept: dict[str, Path] = {}
    write = Journal.write

    def recorded(self: Journal, name: str, found: Any) -> None:
        write(self, name, found)
        kept[name] = settings.home.with_name(f"state-{name}")
        shutil.copytree(settings.home, kept[name])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "write", recorded)
        patch.setattr(month, "sealed", promoted(run.sealed))
        retrain(settings, as_of=AS_OF)
    return kept


def promoted(sealed: Callable[..., Any]) -> Callable[..., Any]:
    """So few wins get no verdict; here it is one, because what follows from it is at stake."""

    def kindly(*args: Any, **more: Any) -> Any:
        return replace(sealed(*args, **more), verdict=Verdict("promote", (), "The challenger may be served."))

    return kindly


def of(home: Path, settings: Settings) -> Settings:
    return settings.model_copy(update={"home": home, "mlruns": home / "mlruns"})


def served(settings: Settings) -> tuple[str | None, str | None]:
    folder = pointed_bundle(settings.bundles_dir)
    return None if folder is None else folder.name, Registry(settings.mlruns).version_of("champion")


@pytest.fixture
def home(
    states: dict[str, Path], database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Return a home as it lay on disk after a step, with tables of MLflow; pictures are not drawn again."""
    monkeypatch.setattr(publishing, "_draw_pictures", undrawn)

    def left_by(step: str) -> Path:
        copied = Path(shutil.copytree(states[step], tmp_path / "home"))
        if not (copied / "mlruns" / "mlflow.db").exists():
            (copied / "mlruns").mkdir(exist_ok=True)
            shutil.copyfile(database, copied / "mlruns" / "mlflow.db")
        return copied

    return left_by


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_the_whole_month_ends_with_a_served_bundle_and_a_page(states: dict[str, Path], settings: Settings) -> None:
    assert list(states) == ["checks", "leaks", "prepared", "champion", "judged", "challenger", "done"]
    bundle, version = served(settings)
    assert bundle is not None
    assert version == "1"
    done = json.loads(next(settings.home.glob("retrain/*/done.json")).read_text("utf-8"))
    page = Path(done["page"]).read_text("utf-8")
    assert "The challenger may be served." in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_second_run_does_nothing_and_says_so(states: dict[str, Path], settings: Settings) -> None:
    assert states
    before = files(settings.bundles_dir)
    again = retrain(settings, as_of=AS_OF)
    assert again.fresh is False
    assert again.promoted is True
    assert files(settings.bundles_dir) == before
    assert served(settings)[1] == "1"


@pytest.mark.parametrize("step", ["leaks", "prepared", "judged"])
def test_a_run_that_was_killed_goes_on_and_comes_to_the_same(
    home: Callable[[str], Path], settings: Settings, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = of(home(step), settings)
    assert served(there) == (None, None)
    monkeypatch.setattr(month, "sealed", promoted(run.sealed))
    if step in ("prepared", "judged"):
        monkeypatch.setattr(month, "prepare", never)
    if step == "judged":
        monkeypatch.setattr(month, "judge_prepared", never)
    outcome = retrain(there, as_of=AS_OF)
    assert outcome.fresh
    assert served(there) == served(settings)


def test_a_champion_promoted_by_hand_in_between_is_judged_anew(
    home: Callable[[str], Path], states: dict[str, Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = of(home("judged"), settings)
    shutil.copytree(states["done"] / "bundles", there.bundles_dir, dirs_exist_ok=True)
    beside: list[Any] = []

    def judged(*_: Any, champion: Any, **__: Any) -> Any:
        beside.append(champion)
        raise Killed

    monkeypatch.setattr(month, "judge_prepared", judged)
    with pytest.raises(Killed):
        retrain(there, as_of=AS_OF)
    folder = pointed_bundle(there.bundles_dir)
    assert folder is not None
    assert beside == [Choices.from_dict(Bundle.load(folder).manifest["choices"])]


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("a step that the journal holds was done again")


@pytest.mark.parametrize("moment", ["record", "alias"])
def test_killed_while_it_publishes_the_run_serves_the_same_in_the_end(
    home: Callable[[str], Path], settings: Settings, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = of(home("judged"), settings)
    monkeypatch.setattr(month, "_import_all", lambda *_: None)  # others see that it changes nothing
    monkeypatch.setattr(month, "sealed", promoted(run.sealed))
    with pytest.MonkeyPatch.context() as patch:
        whole = getattr(Registry, moment)

        def killed(self: Registry, *args: Any) -> Any:
            whole(self, *args)
            raise Killed

        patch.setattr(Registry, moment, killed)
        with pytest.raises(Killed):
            retrain(there, as_of=AS_OF)
    outcome = retrain(there, as_of=AS_OF)
    assert outcome.promoted
    assert served(there) == served(settings)


def test_a_second_retrain_at_the_same_time_is_refused(settings: Settings) -> None:
    with running_alone(settings.home), pytest.raises(InfrastructureError, match="another retrain"):
        retrain(settings, as_of=AS_OF)


def test_damaged_data_stop_before_training_and_the_served_bundle_stays(
    home: Callable[[str], Path], settings: Settings
) -> None:
    there = of(home("done"), settings)
    before = served(there)
    part = next(part for part in Warehouse(there.warehouse_dir).manifest().parts if part.table == "outcomes")
    table = pq.read_table(there.warehouse_dir / part.path)
    known = table.schema.get_field_index("outcome")
    wrong = table.set_column(known, "outcome", [["perhaps"] * len(table)])
    pq.write_table(wrong, there.warehouse_dir / part.path)
    with pytest.raises(DataError):
        retrain(there.model_copy(update={"exports": ()}), as_of="2026-10-01")
    assert served(there) == before


def test_a_leak_stops_the_month_unless_it_is_allowed_by_name(
    home: Callable[[str], Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = of(home("checks"), settings)

    def found(report: Any, allowed: Any) -> None:
        if "custom_erp" not in allowed:
            raise DataError("custom_erp knows the outcome", hint="allow it")

    monkeypatch.setattr(run, "refuse_leaks", found)
    with pytest.raises(DataError, match="knows the outcome"):
        retrain(there, as_of=AS_OF)
    assert served(there) == (None, None)


def test_without_the_registry_the_champion_is_untouched(
    home: Callable[[str], Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(month, "sealed", promoted(run.sealed))
    there = of(home("judged"), settings)
    shutil.rmtree(there.mlruns, ignore_errors=True)
    there.mlruns.write_text("a file where a folder should be")
    with pytest.raises(InfrastructureError):
        retrain(there, as_of=AS_OF)
    assert pointed_bundle(there.bundles_dir) is None


def test_another_cutoff_is_another_run_and_judges_the_champions_recipe_beside(
    home: Callable[[str], Path], settings: Settings
) -> None:
    there = of(home("done"), settings)
    outcome: Retrained = retrain(there, as_of="2026-10-25")
    assert outcome.fresh
    assert outcome.decision in {"keep", "by_hand"}
    assert served(there) == served(settings)
    folder = next(there.home.glob("retrain/2026-10-25*"))
    assert "champion" in pq.read_schema(folder / "judged_predictions.parquet").names
    assert Registry(there.mlruns).version_of("challenger") == outcome.version


def test_a_moment_in_the_future_is_refused(settings: Settings) -> None:
    with pytest.raises(UsageError, match="future"):
        retrain(settings, as_of="2999-01-01")


def test_a_journal_holds_whole_steps_only(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "run")
    assert kept.read("checks") is None
    kept.write("checks", {"expectations": 3})
    assert kept.read("checks") == {"expectations": 3}
    (tmp_path / "run" / "half.json").write_text('{"a": ')
    (tmp_path / "run" / "half.parquet").write_bytes(b"PAR1")
    assert kept.read("half") is None
    assert kept.read_table("half") is None


def test_everything_a_result_depends_on_is_in_the_key(settings: Settings) -> None:
    there = month._everything(settings, CUTOFF, None, ())
    for change in ({"capacity": 41}, {"seed": 8}, {"timezone": "Asia/Shanghai"}, {"treatments": True}):
        other = month._everything(settings.model_copy(update=change), CUTOFF, None, ())
        assert journal.run_key(*other) != journal.run_key(*there), change
    elsewhere = month._everything(settings.model_copy(update={"port": 8021}), CUTOFF, None, ())
    assert journal.run_key(*elsewhere) == journal.run_key(*there)
