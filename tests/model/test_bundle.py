"""The sealed bundle read: light, refusing whatever was changed, answering as when it was sealed."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import training.bundles.bundle
from data.errors import DataError
from features.catalogue import Catalogue
from features.memory import EventFact, LeadFacts
from training.bundles.bundle import Bundle, content_hash, facts_from_json, facts_to_json, folder_name, pointed_bundle
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from tests.model.conftest import SimulatedWorld
    from training.learning.recipe import Rows

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def sealed(world: SimulatedWorld) -> Bundle:
    return world.trained.bundle


@pytest.fixture
def copy(sealed: Bundle, tmp_path: Path) -> Path:
    """A copy of the bundle in a folder with a name of its own."""
    return Path(shutil.copytree(sealed.folder, tmp_path / "copy"))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever parses a model before the hashes agree fails the test."""

    def parsed(*_: object) -> None:
        raise AssertionError("a model was parsed")

    monkeypatch.setattr(training.bundles.bundle, "_read_model", parsed)
    monkeypatch.setattr(Catalogue, "model_validate_json", parsed)


def manifest_of(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return told


def rewrite(folder: Path, name: str, change: Callable[[str], str]) -> None:
    """Change a file and give the manifest the hash that makes it look whole."""
    (folder / name).write_text(change((folder / name).read_text("utf-8")), "utf-8")
    manifest = manifest_of(folder)
    manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def test_a_bundle_answers_without_mlflow_shap_pandas_and_scikit_learn(sealed: Bundle) -> None:
    code = (
        "import sys; from pathlib import Path; from training.bundles.bundle import Bundle\n"
        "for name in ('mlflow', 'shap', 'pandas', 'sklearn', 'great_expectations'): sys.modules[name] = None\n"
        "Bundle.load(Path(sys.argv[1])).recheck(); print('answered')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(sealed.folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("answered", 0), done.stderr[-2000:]


def test_importing_the_bundle_imports_neither_pandas_nor_a_learner() -> None:
    code = (
        "import sys, training.bundles.bundle\n"
        "print([m for m in ('mlflow', 'shap', 'pandas', 'sklearn', 'lightgbm', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_was_sealed_is_read_back(sealed: Bundle, world: SimulatedWorld) -> None:
    assert sealed.manifest["cutoff"] == "2026-11-01T00:00:00Z"
    assert sealed.manifest["dataset"] == world.trained.dataset_digest
    assert sealed.digest == content_hash(manifest_of(sealed.folder))
    assert sealed.folder.name == folder_name(sealed.digest)
    assert len(sealed.golden) == 100
    assert len(sealed.quantiles) == 99
    assert [grade.grade for grade in sealed.grades] == list("ABCD")
    assert sum(grade.judged for grade in sealed.grades) == sealed.manifest["judged"]["rows"]
    assert sum(grade.won for grade in sealed.grades) == sealed.manifest["judged"]["wins"]


def test_the_golden_leads_are_recomputed_and_hold_both_models(sealed: Bundle) -> None:
    sealed.recheck()
    profiles = [golden["facts"]["events"] is None for golden in sealed.golden]
    assert 5 < sum(profiles) < 50
    assert len({golden["answer"]["logit"] for golden in sealed.golden}) > 90


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("name", ["golden.json", "model.json", "profile.json", "catalogue.json", "grades.json"])
@pytest.mark.parametrize("where", [0, 0.5, 0.999])
def test_one_changed_byte_is_refused_before_anything_is_parsed(copy: Path, name: str, where: float) -> None:
    content = bytearray((copy / name).read_bytes())
    content[int(where * len(content))] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(DataError, match=f"{name} has been changed"):
        Bundle.load(copy)


@pytest.mark.usefixtures("unread")
def test_every_file_has_to_be_there_and_whole(sealed: Bundle, tmp_path: Path) -> None:
    for number, name in enumerate(["manifest.json", *sealed.manifest["files"]]):
        folder = Path(shutil.copytree(sealed.folder, tmp_path / f"gone{number}"))
        (folder / name).unlink()
        with pytest.raises(DataError, match="cannot be read"):
            Bundle.load(folder)
        shutil.copyfile(sealed.folder / name, folder / name)
        with (folder / name).open("ab") as file:
            file.write(b"!")
        with pytest.raises(DataError, match=name):
            Bundle.load(folder)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    "name", ["../secret", "..", "/etc/hostname", "sub/model.json", "", "run.py", "x\0y", "notes.json"]
)
def test_a_name_that_no_bundle_has_is_refused_even_with_the_right_hash(copy: Path, name: str) -> None:
    (copy.parent / "secret").write_text("s")
    (copy / "notes.json").write_text("s")
    manifest = manifest_of(copy)
    manifest["files"][name] = hashlib.sha256(b"s").hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="other files than a bundle has"):
        Bundle.load(copy)


@pytest.mark.usefixtures("unread")
def test_a_manifest_that_leaves_a_file_out_is_refused(copy: Path) -> None:
    manifest = manifest_of(copy)
    del manifest["files"]["profile.json"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="other files than a bundle has"):
        Bundle.load(copy)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"format": 2}',
        '{"format": 2, "files": 7}',
        '{"format": 2, "files": ["a"]}',
        "[" * 100_000,
    ],
    ids=["empty", "list", "null", "cut", "no files", "number", "names", "deep"],
)
def test_a_manifest_that_is_none_is_refused_in_plain_words(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest"):
        Bundle.load(copy)


def test_another_format_asks_for_a_retrain(copy: Path) -> None:
    (copy / "manifest.json").write_text(json.dumps(manifest_of(copy) | {"format": 1}))
    with pytest.raises(DataError, match="format 1") as caught:
        Bundle.load(copy)
    assert caught.value.hint == "retrain"


@pytest.mark.usefixtures("unread")
def test_under_its_published_name_a_manifest_cannot_be_exchanged_whatever_it_says(
    sealed: Bundle, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sealed.folder, tmp_path / sealed.folder.name))
    told = manifest_of(folder)
    (folder / "manifest.json").write_text(json.dumps({**told, "cutoff": "2027-01-01T00:00:00Z"}))
    with pytest.raises(DataError, match="not the one that its folder is named after"):
        Bundle.load(folder)


def test_files_that_the_manifest_does_not_name_do_no_harm(copy: Path, sealed: Bundle) -> None:
    (copy / "publication.json").write_text("{}")
    (copy / "evil.py").write_text("raise SystemExit")
    (copy / "folder").mkdir()
    assert Bundle.load(copy).digest == sealed.digest
    assert not (publish(Bundle.load(copy), copy.parent / "bundles") / "evil.py").exists()


def other_trees(text: str) -> str:
    import lightgbm

    trees = lightgbm.Booster(model_str=text)
    for leaf in range(2):
        trees.set_leaf_output(0, leaf, trees.get_leaf_output(0, leaf) + 1e-6)
    return str(trees.model_to_string())


def other_intercept(text: str) -> str:
    told = json.loads(text)
    told["linear"]["intercept"] += 1e-7
    return json.dumps(told)


def other_windows(text: str) -> str:
    return text.replace('"days":30', '"days":29')


CHANGES: dict[str, Callable[[str], str]] = {
    "model.trees.txt": other_trees,
    "model.json": other_intercept,
    "profile.json": other_intercept,
    "catalogue.json": other_windows,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_part_exchanged_together_with_its_hash_is_refused_by_the_golden_leads(copy: Path, name: str) -> None:
    rewrite(copy, name, CHANGES[name])
    bundle = Bundle.load(copy)
    with pytest.raises(DataError, match="answered otherwise"):
        bundle.recheck()


def test_a_bundle_without_golden_leads_is_refused(copy: Path) -> None:
    rewrite(copy, "golden.json", lambda _: "[]")
    with pytest.raises(DataError, match="no golden leads"):
        Bundle.load(copy).recheck()


def test_answers_equal_the_model_over_the_warehouses_features(sealed: Bundle, world_rows: Rows) -> None:
    some = world_rows.take(np.arange(0, len(world_rows.spine), 997))
    logits = sealed.full.logit(sealed.full.model.encoding.tree_matrix(some.frame))
    for values, logit in zip(some.frame.to_dict("records"), logits, strict=True):
        answer = sealed.answer_values({str(k): v for k, v in values.items()})
        assert answer.logit == pytest.approx(logit, abs=1e-9)
        assert answer.base_logit + math.fsum(answer.groups.values()) == pytest.approx(logit, abs=1e-9)
        assert math.fsum(answer.contributions.values()) == pytest.approx(math.fsum(answer.groups.values()), abs=1e-9)


def test_a_lead_whose_events_are_unknown_is_answered_from_its_profile(sealed: Bundle) -> None:
    unknown = sealed.answer(LeadFacts(created_us=0, lead={"source": "webinar"}), 86_400_000_000)
    none = sealed.answer(LeadFacts(created_us=0, lead={"source": "webinar"}, events=()), 86_400_000_000)
    assert (unknown.source, none.source) == ("model_profile", "model")
    assert {sealed.catalogue.feature(name).needs for name in unknown.contributions} <= {"lead", "account"}


def test_nobody_is_lost_or_won_for_certain(sealed: Bundle) -> None:
    facts = LeadFacts(created_us=0, lead={"source": "webinar"}, events=())
    answer = sealed.answer(facts, 86_400_000_000)
    for logit, probability in ((50.0, 0.999), (-50.0, 0.001)):
        far = type(answer)(**{**vars(answer), "logit": logit})
        assert far.probability == pytest.approx(probability, abs=1e-12)


@given(st.floats(0, 1), st.floats(0, 1))
def test_scores_and_grades_rise_with_the_probability(one: float, other: float) -> None:
    low, high = sorted((one, other))
    bundle = BARE
    assert 1 <= bundle.score(low) <= bundle.score(high) <= 100
    assert bundle.grade(low) >= bundle.grade(high)


def test_the_score_is_the_percentile_among_the_reference_leads(sealed: Bundle) -> None:
    assert sealed.score(0.0) == 1
    assert sealed.score(1.0) == 100
    assert sealed.score(sealed.quantiles[49]) == pytest.approx(51, abs=1)


def bare() -> Bundle:
    """Return a bundle of which only quantiles and grades are ever asked."""
    quantiles = tuple((np.arange(1, 100) / 100).tolist())
    grades = tuple(
        training.bundles.bundle.Grade(grade=g, at_least=p, judged=1, won=0, conversion=0, low=0, high=1)
        for g, p in (("A", 0.9), ("B", 0.7), ("C", 0.4), ("D", 0.0))
    )
    rest: Any = None
    return Bundle({}, rest, rest, rest, rest, quantiles, grades, (), "", Path())


BARE = bare()


def test_facts_survive_json() -> None:
    event = EventFact("site", "e1", "page_view", 5, 6, "c1", 2.5, None, "l1")
    for facts in (
        LeadFacts(1, {"source": "x"}, {"employees": 3.0}, (event,), ()),
        LeadFacts(None, {}, None, None, None),
        LeadFacts(1, {}, {}, (), (event, event)),
    ):
        assert facts_from_json(json.loads(json.dumps(facts_to_json(facts)))) == facts


def test_a_pointer_names_a_folder_beside_it_or_nothing(tmp_path: Path) -> None:
    assert pointed_bundle(tmp_path / "nowhere") is None
    assert pointed_bundle(tmp_path) is None
    (tmp_path / "sha256-a").mkdir()
    point_at(tmp_path, "current", tmp_path / "sha256-a")
    assert pointed_bundle(tmp_path) == tmp_path / "sha256-a"
    for text in (b"", b"sha256-b\n", b"..", b".", b"../..", b"/etc", b"\xff\xfe", b"a\0b"):
        (tmp_path / "current").write_bytes(text)
        assert pointed_bundle(tmp_path) is None
