"""The same facts by the same moment give the same bundle to the byte: in any process, import and order of rows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.clock import parse_moment
from data.importing import import_export
from data.mapping import load_mapping
from data.simulator import simulate
from data.warehouse import Warehouse
from tests.model.conftest import CUTOFF, beside_prior_and_rules, settings_in
from training.run import train

ROOT = Path(__file__).parents[2]
EARLIER = parse_moment("2026-08-01")
# One or two lists are judged by each moment: every further one costs a refit and says nothing new.
JUDGE_FROM = {CUTOFF: "2026-06-15", EARLIER: "2026-03-15"}
# When the simulated systems knew each row.
KNOWN = {
    "leads.csv": "Created",
    "accounts.csv": "Updated At",
    "events.parquet": "received_at",
    "stages.csv": "Entered At",
    "outcomes.csv": "Entered At",
}
TRAIN = """
import sys
from pathlib import Path
from data.clock import parse_moment
from data.warehouse import Warehouse
from tests.model.conftest import settings_in
from training.run import train
settings = settings_in(Path(sys.argv[1]), judge_from=sys.argv[3])
print(train(Warehouse(settings.warehouse_dir), settings, as_of=parse_moment(sys.argv[2])).bundle.digest)
"""


@dataclass(frozen=True)
class Home:
    """A folder with an imported warehouse."""

    folder: Path

    @classmethod
    def of(cls, export: Path, folder: Path, *, at: datetime) -> Home:
        import_export(export, load_mapping(export / "mapping.yaml"), Warehouse(folder / "warehouse"), now=at)
        return cls(folder)

    def digest(self, as_of: datetime) -> str:
        settings = settings_in(self.folder, judge_from=JUDGE_FROM[as_of])
        # The fresh process below judges beside all peers, and comes to the same bundle.
        with beside_prior_and_rules():
            return train(Warehouse(settings.warehouse_dir), settings, as_of=as_of).bundle.digest


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(leads=700, seed=3, out=tmp_path_factory.mktemp("small"), end=CUTOFF).export


@pytest.fixture(scope="module")
def home(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home.of(export, tmp_path_factory.mktemp("home"), at=CUTOFF)


@pytest.fixture(scope="module")
def digest(home: Home) -> str:
    return home.digest(CUTOFF)


@pytest.fixture(scope="module")
def earlier_digest(home: Home) -> str:
    return home.digest(EARLIER)


def rewritten(export: Path, folder: Path, change: object) -> Path:
    """Copy an export with each table changed."""
    assert callable(change)
    shutil.copytree(export, folder)
    for name in KNOWN:
        path = folder / name
        if path.suffix == ".csv":
            change(pd.read_csv(path, dtype=str, keep_default_na=False), name).to_csv(path, index=False)
        else:
            change(pd.read_parquet(path), name).to_parquet(path, index=False)
    return folder


def test_a_fresh_process_a_later_import_and_shuffled_rows_give_the_same_bundle(
    export: Path, digest: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)

    def shuffled(table: pd.DataFrame, _: str) -> pd.DataFrame:
        return table.iloc[rng.permutation(len(table))]

    other = Home.of(rewritten(export, tmp_path / "export", shuffled), tmp_path / "home", at=CUTOFF + timedelta(days=20))
    command = [sys.executable, "-c", TRAIN, str(other.folder), CUTOFF.isoformat(), JUDGE_FROM[CUTOFF]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == digest


def test_another_moment_gives_another_bundle(digest: str, earlier_digest: str) -> None:
    assert digest != earlier_digest


def test_facts_that_became_known_after_the_moment_change_nothing(
    export: Path, earlier_digest: str, tmp_path: Path
) -> None:
    removed: dict[str, int] = {}

    def known_then(table: pd.DataFrame, name: str) -> pd.DataFrame:
        known = pd.to_datetime(table[KNOWN[name]], utc=True) <= EARLIER
        removed[name] = int((~known).sum())
        return table[known]

    before = Home.of(rewritten(export, tmp_path / "export", known_then), tmp_path / "home", at=EARLIER)
    assert min(removed.values()) > 0
    assert before.digest(EARLIER) == earlier_digest

    def with_a_new_kind_of_event(table: pd.DataFrame, name: str) -> pd.DataFrame:
        late = pd.to_datetime(table[KNOWN[name]], utc=True) > EARLIER
        return (
            table.assign(activity=table["activity"].mask(late, "never_seen_before")) if "activity" in table else table
        )

    everything = rewritten(export, tmp_path / "later", with_a_new_kind_of_event)
    assert Home.of(everything, before.folder, at=CUTOFF).digest(EARLIER) == earlier_digest
