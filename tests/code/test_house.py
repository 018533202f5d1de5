"""The house: packages from this folder alone, one clock, a quick front door, sound locks and a sound wheel."""

from __future__ import annotations

import ast
import fnmatch
import importlib
import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.missing import missing_part

ROOT = Path(__file__).parents[2]
PACKAGES = ("data", "features", "training", "monitoring", "serving")
MODULES = tuple(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS = ("requirements.lock", "requirements-serve.lock", "requirements-spark.lock")
HEAVY = frozenset(
    (
        *("mlflow", "shap", "great_expectations", "sklearn", "lightgbm", "pandas"),
        *("matplotlib", "scipy", "duckdb", "pyarrow", "bentoml", "sqlalchemy", "pyspark", "sqlglot"),
    )
)
COMMANDS = (
    *("init", "simulate", "import", "check", "features", "train", "promote", "rollback"),
    *("compare", "leakage", "recalibrate", "retrain", "scorecard", "serve", "explain", "demo"),
    *("attribution", "baselines", "monitor", "monthly", "quality", "changes", "keys", "webhooks"),
    *("score", "sync", "backup", "restore", "forget", "retain"),
)
# Imported beside the declared distribution that brings and documents it.
CARRIED = {"pydantic_core": "pydantic", "anyio": "starlette", "sqlalchemy": "mlflow"}


def files() -> list[Path]:
    """Return every file that git holds or would take in, relative to the root."""
    if not (ROOT / ".git").exists():
        # An unpacked archive has no list of files to hold to; every clone, CI's too, has one.
        pytest.skip("this is no git checkout, so nobody knows which files belong to it")
    told = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = [Path(name) for name in told.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert len(found) > 100
    return found


def text_of(path: Path) -> str:
    return (ROOT / path).read_text("utf-8", errors="replace")


@pytest.mark.parametrize("package", [*PACKAGES, "clew"])
def test_a_package_comes_from_this_folder_and_is_shadowed_by_nothing_installed(package: str, tmp_path: Path) -> None:
    script = f"import {package}; print({package}.__file__)"
    told = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"install the project first: pip install -e . ({told.stderr[-200:]})"
    assert Path(told.stdout.strip()).resolve().is_relative_to(ROOT.resolve())
    assert Path(str(importlib.import_module(package).__file__)).resolve().is_relative_to(ROOT.resolve())


def test_every_folder_with_modules_is_a_package() -> None:
    # Notebooks are read and run from top to bottom, never imported.
    folders = {path.parent for path in files() if path.suffix == ".py"} - {Path(), Path("notebooks")}
    assert {folder for folder in folders if not (ROOT / folder / "__init__.py").is_file()} == set()


@pytest.mark.parametrize("name", [*MODULES, "clew"])
def test_all_names_what_is_there_each_once(name: str) -> None:
    path = ROOT / (name.replace(".", "/") + ".py")
    tree = ast.parse((path if path.is_file() else path.with_suffix("") / "__init__.py").read_text("utf-8"))
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and node.value is not None
        and "__all__" in ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
    ]
    defined = {alias.asname or alias.name for node in tree.body for alias in getattr(node, "names", ())}
    defined |= {getattr(node, "name", "") for node in tree.body}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        defined |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    for names in listed:
        assert len(set(names)) == len(names)
        assert set(names) <= defined
    assert listed or len(tree.body) <= 1, "a module with more than a docstring says what is for others"


class _ClockReads(ast.NodeVisitor):
    """Finds calls that read the clock, however the module was imported."""

    NAMES = re.compile(r"(^|\.)(datetime\.(now|utcnow|today)|date\.today|time\.(time|time_ns|localtime|gmtime))$")

    def __init__(self) -> None:
        self.found: list[int] = []

    def visit_Call(self, node: ast.Call) -> None:
        if self.NAMES.search(ast.unparse(node.func)):
            self.found.append(node.lineno)
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module == "time" and {alias.name for alias in node.names} & {"time", "time_ns", "localtime", "gmtime"}:
            self.found.append(node.lineno)


def clock_reads(text: str) -> list[int]:
    visitor = _ClockReads()
    visitor.visit(ast.parse(text))
    return visitor.found


def test_only_the_clock_reads_the_clock() -> None:
    for text in ("datetime.now(UTC)", "dt.datetime.utcnow()", "date.today()", "time.time()", "from time import time"):
        assert clock_reads(text), text
    for text in ("time.monotonic()", "time.perf_counter()", "clock.now()", "now()", "time.sleep(1)"):
        assert not clock_reads(text), text
    sources = [path for path in files() if path.suffix == ".py" and path.parts[0] in {*PACKAGES, "clew.py"}]
    readers = {str(path): clock_reads(text_of(path)) for path in sources}
    assert {path for path, lines in readers.items() if lines} == {"data/clock.py"}


def test_help_imports_nothing_heavy_and_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "import sys, json, clew; sys.argv = ['clew', '--help']\n"
        "try:\n    clew.main()\nexcept SystemExit:\n    sys.stderr.write(json.dumps(sorted(sys.modules)))"
    )
    started = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    took = time.perf_counter() - started
    loaded = {name.partition(".")[0] for name in json.loads(told.stderr)}
    with capsys.disabled():
        print(f"[clew --help: {took:.2f} s, {len(loaded)} top-level modules]", end=" ")  # noqa: T201 - a figure
    assert loaded & HEAVY == set()
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\S", told.stdout, flags=re.MULTILINE), command


def pins(lock: str) -> dict[str, Version]:
    """Return the versions that a lock names, one for each distribution on this platform."""
    found = {}
    for line in text_of(Path(lock)).splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
                (pin,) = requirement.specifier
                assert pin.operator == "=="
                found[canonical(requirement.name)] = Version(pin.version)
    return found


def canonical(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def demanded(lock: str) -> list[Requirement]:
    """Return what pyproject.toml asks of a lock."""
    asked = list(PROJECT["project"]["dependencies"])
    if lock == "requirements.lock":
        asked += PROJECT["project"]["optional-dependencies"]["train"] + PROJECT["dependency-groups"]["dev"]
    if lock == "requirements-spark.lock":
        asked += PROJECT["project"]["optional-dependencies"]["spark"]
    return [Requirement(text) for text in asked]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_no_address_and_no_header_and_a_hash_for_every_pin(lock: str) -> None:
    text = text_of(Path(lock))
    assert "://" not in text
    assert not re.search(r"^\s*(--index-url|--extra-index-url|--find-links|-i|-f)\b", text, flags=re.MULTILINE)
    assert not text.startswith("#")
    blocks = re.split(r"\n(?=\S)", text)
    assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_satisfies_what_pyproject_asks_for_now(lock: str) -> None:
    pinned = pins(lock)
    wrong = [
        str(asked)
        for asked in demanded(lock)
        if not asked.specifier.contains(pinned.get(canonical(asked.name), Version("0.dev0")), prereleases=True)
        or canonical(asked.name) not in pinned
    ]
    assert not wrong, f"{lock} is older than pyproject.toml: run make lock"


def test_serving_is_locked_without_what_only_training_needs_and_at_the_same_versions() -> None:
    serve, whole = pins("requirements-serve.lock"), pins("requirements.lock")
    assert serve.keys().isdisjoint({"mlflow", "mlflow-skinny", "great-expectations", "shap", "scikit-learn", "pandas"})
    assert len(serve) < len(whole)
    assert {name for name, version in serve.items() if whole.get(name) != version} == set()


def test_spark_is_locked_at_the_versions_of_the_rest_and_is_no_part_of_it() -> None:
    spark, whole = pins("requirements-spark.lock"), pins("requirements.lock")
    assert spark.keys() - whole.keys() == {"pyspark", "py4j"}
    assert {name for name in spark.keys() & whole.keys() if spark[name] != whole[name]} == set()


def test_every_import_of_a_package_is_declared() -> None:
    names = {"yaml": "pyyaml", "dateutil": "python-dateutil", "sklearn": "scikit-learn"}
    declared = {canonical(asked.name) for lock in LOCKS for asked in demanded(lock)}
    used: set[str] = set()
    for path in files():
        if path.suffix == ".py" and path.parts[0] in {*PACKAGES, "clew.py"}:
            for node in ast.walk(ast.parse(text_of(path))):
                if isinstance(node, ast.Import):
                    used |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    used.add(node.module.partition(".")[0])
    foreign = used - set(sys.stdlib_module_names) - {*PACKAGES, "clew"}
    declared |= {canonical(name) for name, carrier in CARRIED.items() if canonical(carrier) in declared}
    assert {name for name in foreign if canonical(names.get(name, name)) not in declared} == set()


def shipped() -> set[str]:
    """Return what is not code below the packages and has to be in a wheel, as git knows it."""
    return {
        str(path)
        for path in files()
        if path.parts[0] in PACKAGES and path.suffix not in {".py", ".md"} and "__pycache__" not in path.parts
    }


def test_no_file_that_the_packages_need_is_left_out_of_the_wheel() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["only-include"]) == {"clew.py", *PACKAGES}
    needed = shipped()
    assert {"data/presets/salesforce.yaml", "data/mappings/olist.yaml", "features/scorecards/default.yaml"} <= needed
    assert not [name for name in needed for pattern in wheel["exclude"] if fnmatch.fnmatch(Path(name).name, pattern)]


def test_the_wheel_holds_the_code_and_its_yaml_and_no_data(tmp_path: Path) -> None:
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if uv is None:
        missing_part("there is no uv to build a wheel with; make setup installs it")
    for path in files():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    (tmp_path / "data" / "rows.parquet").touch()
    built = subprocess.run(
        [uv, "build", "--wheel", "--quiet"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    if built.returncode and re.search("hatchling|network|dns|connect", built.stderr, flags=re.IGNORECASE):
        missing_part("the build backend cannot be fetched here, so no wheel can be built")
    assert not built.returncode, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {name.replace(".", "/") for name in MODULES}
    assert {name.removesuffix("/__init__.py").removesuffix(".py") for name in names if name.endswith(".py")} == {
        *modules,
        "clew",
    }
    assert shipped() <= names
    assert not [name for name in names if name.endswith((".parquet", ".csv", ".sqlite", ".db"))]


def test_no_file_is_large_but_the_locks() -> None:
    large = {str(path) for path in files() if (ROOT / path).stat().st_size > 600_000}
    assert large <= set(LOCKS)


def test_no_file_holds_a_path_of_somebodys_machine() -> None:
    # Written in pieces, so that this file does not hold one.
    homes = ["/" + "home" + r"/\w", "/" + r"Users/\w", "/" + r"root/", "/" + r"work/main", "/" + r"work/shared"]
    machine = re.compile("|".join([*homes, r"[A-Z]:\\" + r"\\?Users"]))
    assert machine.search("see /" + "home/ada/x")
    found = {str(path): match[0] for path in files() if (match := machine.search(text_of(path)))}
    assert not found


def test_what_git_ignores_holds_nothing_that_is_tracked_but_a_readme() -> None:
    found = [path for path in files() if path.parts[0] in {"var", "mlruns", "dist", "build", ".venv"}]
    assert found == [Path("mlruns/README.md")]


@pytest.mark.parametrize("script", ["scripts/setup", ".ci/run"])
def test_a_script_can_be_run_and_is_sound_shell(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    shell = "bash" if "bash" in path.read_text("utf-8").splitlines()[0] else "sh"
    told = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_make_help_shows_every_documented_target() -> None:
    if shutil.which("make") is None:
        missing_part("there is no make here")
    told = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    documented = re.findall(r"^([a-z-]+):.*## ", text_of(Path("Makefile")), flags=re.MULTILINE)
    assert {"setup", "demo", "test"} <= set(documented)
    assert all(re.search(rf"^\s*make {target}\s+\S", told, flags=re.MULTILINE) for target in documented)
