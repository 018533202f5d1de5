"""The built Bento: what it holds, and that it answers outside of the checkout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from data.settings import load_settings
from serving.bento import Built, build_bento
from serving.openapi import EXAMPLE_REQUEST
from serving.process.start import serve
from tests.service.running import free_port

PACKAGES = {"data", "features", "monitoring", "serving", "training"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_bento(tmp_path_factory.mktemp("bentoml"))


def files_of(built: Built) -> Iterator[Path]:
    source = built.folder / "src"
    return (path.relative_to(source) for path in source.rglob("*") if path.is_file())


def test_the_bento_holds_code_and_the_scorecard_and_nothing_else(built: Built) -> None:
    files = {str(path) for path in files_of(built)}
    assert {"serving/service.py", "training/bundles/bundle.py", "features/scorecards/default.yaml"} <= files
    others = {name for name in files if not name.endswith(".py")}
    pages = {name for name in others if name.startswith(("serving/pages/templates/", "serving/pages/assets/"))}
    assert "serving/pages/templates/base.html.j2" in pages
    assert others - pages == {"features/scorecards/default.yaml", "bentofile.yaml"}
    assert {name.split("/")[0] for name in files} == PACKAGES | {"bentofile.yaml"}


def test_the_bento_installs_the_pinned_packages_of_serving_only(built: Built) -> None:
    pinned = (built.folder / "env" / "python" / "requirements.txt").read_text("utf-8")
    names = {line.split("==")[0] for line in pinned.splitlines() if "==" in line and not line.startswith((" ", "#"))}
    assert {"bentoml", "lightgbm", "numpy", "pydantic"} <= names
    assert not names & {"mlflow", "shap", "great-expectations", "pandas", "scikit-learn"}


def test_the_bento_answers_from_another_directory_with_the_rules_where_there_is_no_bundle(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The checkout is importable here as well; this tells whose code answers.
    app = built.folder / "src" / "serving" / "openapi.py"
    app.write_text(app.read_text("utf-8").replace('"title": "clew"', '"title": "clew from the Bento"'), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENTOML_HOME", str(built.folder.parents[2]))
    settings = load_settings(home=tmp_path / "home", port=free_port())
    handle = serve(settings, background=True, target=str(built.folder), progress=lambda _: None)
    try:
        document = httpx.get(f"{handle.url}/v1/openapi.json", timeout=20).json()
        front = httpx.get(handle.url, timeout=20)
        style = httpx.get(f"{handle.url}/assets/style.css", timeout=20)
        card = httpx.get(f"{handle.url}/v1/model", timeout=20).json()
        answer = httpx.post(f"{handle.url}/v1/score", json=EXAMPLE_REQUEST, timeout=20)
    finally:
        handle.stop()
    assert (card["source"], card["refused"]) == ("rules", ["no bundle has been published yet"])
    assert answer.status_code == 200
    assert (answer.json()["source"], answer.json()["probability"]) == ("rules", None)
    assert answer.json()["rules"]["points"] == 90
    assert document["info"]["title"] == "clew from the Bento"
    # There is no store yet; the page that says so, and its style, came with the Bento.
    assert (front.status_code, "clew init" in front.text, style.status_code) == (503, True, 200)
