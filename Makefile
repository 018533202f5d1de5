# The only door: everything a person or CI does with this repository is a target here.
SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := clew.py data features training serving monitoring notebooks tests

# One thread each: LightGBM, BLAS and OpenMP wait for each other on a busy machine.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export TZ := UTC
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := True
export GX_ANALYTICS_ENABLED := False

.PHONY: help setup spark demo test lint types layers unit bench bench-peers evidence lock clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(READY) ## Make the project's own environment in .venv

$(READY): requirements.lock pyproject.toml scripts/setup
	@sh scripts/setup $(VENV)
	@touch $(READY)

spark: $(READY) ## Add PySpark to .venv, for CLEW_ENGINE=spark (about 0.5 GB on disk, needs Java 17)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-spark.lock

demo: $(READY) ## Run the main job from end to end on a simulated CRM
	@$(BIN)/clew demo

test: lint types layers unit ## Run every check and test

lint: $(READY)
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/ruff format --check $(PACKAGES)

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

# Byte code is kept even where the machine says otherwise: hundreds of processes import the same modules. What goes to one
# worker, and in what order, says tests/conftest.py.
unit: export PYTHONDONTWRITEBYTECODE :=
unit: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile

bench: $(READY) ## Measure against peers in the same run; NAME=... for one
	@$(BIN)/python -m tests.benchmarks $(NAME)

PEERS := var/outside-peers

$(PEERS)/.ready: tests/benchmarks/outside_peers/requirements.lock | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PEERS)
	$(BIN)/uv pip sync --quiet --require-hashes --python $(PEERS)/bin/python tests/benchmarks/outside_peers/requirements.lock
	@touch $@

bench-peers: $(PEERS)/.ready ## Measure against CatBoost and FLAML on the real data sets (1.2 GB on disk, ten minutes)
	@$(BIN)/python -m tests.benchmarks.outside_peers $(NAME)

evidence: $(READY) ## Run in full what the tests run scaled down
	CLEW_EVIDENCE=1 $(BIN)/pytest -n 2 --dist loadfile --timeout 3600 tests/data/test_features_equal.py \
		tests/data/test_future.py tests/data/test_snapshots.py tests/data/test_training_set.py tests/data/test_spark.py \
		tests/model/test_gate_rates.py tests/model/test_twelve_months.py tests/model/test_truth.py \
		tests/model/test_unseen_data.py tests/model/test_drift.py tests/model/test_monitor.py tests/model/test_monitor_year.py \
		tests/model/test_attribution_fresh.py \
		tests/service/test_nothing_lost.py tests/service/test_faults.py tests/service/test_contract.py tests/service/test_demo.py

# The others follow the first, so that what serves is what was tested.
lock: $(READY) ## Resolve the locks anew for Python 3.11 to 3.13
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-emit-index-url --no-header --generate-hashes -q \
		pyproject.toml --extra train --group dev -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-emit-index-url --no-header --generate-hashes -q \
		pyproject.toml --constraints requirements.lock -o requirements-serve.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-emit-index-url --no-header --generate-hashes -q \
		pyproject.toml --extra spark --constraints requirements.lock -o requirements-spark.lock

clean: ## Remove the environment and caches; never data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
