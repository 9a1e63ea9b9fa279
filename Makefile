# Every target does its own set-up: Python >= 3.11, make and access to packages are all it needs.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
DEMO ?= demo
WORKERS ?= 4
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-ray test-nojit check format bench docs lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## only make .venv, with every package pinned

demo: $(READY) ## synthetic market to a finished lake and a report, in demo/ (no account, no network)
	$(BIN)/raypipe demo --out $(DEMO)

# Kept byte code: else each worker rewrites every assertion, and each command that a test starts compiles all of raypipe.
test test-all test-ray: export PYTHONDONTWRITEBYTECODE =

test: $(READY) ## tests and doctests, but for the long forms of some
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --benchmark-disable -m "not slow" raypipe tests

test-all: $(READY) ## every test, the long forms too
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --benchmark-disable raypipe tests

test-ray: $(READY) ## only the tests that start a Ray cluster
	$(BIN)/python -m pytest -m ray tests

test-nojit: $(READY) ## the kernel tests as plain Python, for bounds and coverage
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest tests/kernels

check: $(READY) ## ruff, mypy and codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## benchmarks (all, or BENCH=bench_csv.py): cost per unit, and the ratio to a baseline of the same run
	$(BIN)/python -m pytest tests/bench/$(BENCH) -o python_files='bench_*.py' -o python_functions='bench_* test_*' --benchmark-columns=min,median,ops --benchmark-sort=name

docs: $(READY) ## write the pages that are made of the source: API, columns, commands, figures
	$(BIN)/python -m tests.docs.reference
	$(BIN)/python -m tests.docs.figures
	$(BIN)/python -m tests.docs.commands
	$(BIN)/python -m tests.test_signal_docs

lock: $(READY) ## write requirements.lock anew from pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --extra dev --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	sed -i 's/^nvidia-nccl-cu12==[^ ]*/& ; platform_system == "Linux"/' requirements.lock

clean: ## remove caches and the demo; the environment stays
	rm -rf $(DEMO) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find raypipe tasks tuning tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "raypipe needs Python >= 3.11; name it with: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@echo "setting up $(VENV) from requirements.lock: this takes a few minutes, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
