# Every target bootstraps what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP := $(VENV)/.installed
WARM = $(BIN)/python -m tradelake.backtest.warm
NODE_STAMP := node_modules/.package-lock.json
# Machine code of the matching core: compiled once, by whoever comes first.
export NUMBA_CACHE_DIR ?= $(CURDIR)/build/numba
export CDK_DISABLE_CLI_TELEMETRY := 1
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all faults check bench bench-stream bench-stream-server bench-stages bench-way bench-scale bench-engine synth docs lock clean

help:  ## what there is to make
	@awk 'BEGIN{FS=":.*## "} /^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing the locked requirements"
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(NODE_STAMP): package.json package-lock.json
	@npm ci --silent --no-audit --no-fund
	@touch $@

install: $(STAMP)  ## the virtual environment in .venv

demo: $(STAMP)  ## the main job on the embedded AWS: exchange, lake, model, backtests, report
	@$(BIN)/tradelake demo $(DEMO_ARGS)

test: $(STAMP)  ## the test suite (parallel, under 15 minutes on 2 cores)
	@$(WARM) & $(WARM) --ticks && wait
	@$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" $(PYTEST_ARGS)

test-all: $(STAMP) $(NODE_STAMP)  ## the slow tests too
	@$(WARM) & $(WARM) --ticks && wait
	@$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

faults: $(STAMP)  ## every named fault in a world of its own; each ends with a reconciliation
	@$(BIN)/python -m tests.faults $(FAULTS_ARGS)

check: $(STAMP)  ## ruff, mypy strict, import rules, dependencies
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/deptry .

bench: bench-stream-server bench-stream bench-stages bench-way bench-scale bench-engine  ## the benchmarks; each prints its figures, and one JSON object as last line

bench-stream: $(STAMP)  ## codec, clients, socket -> durable and tap; BENCH_ARGS="--seconds 60 --soak-s 600"
	@$(BIN)/python -m bench.stream $(BENCH_ARGS)

bench-stages: $(STAMP)  ## processor time and bytes of a point in every stage
	@$(BIN)/python -m bench.stages $(BENCH_ARGS)

bench-way: $(STAMP)  ## receipt -> durable -> clean -> bar -> lake on the embedded AWS, by stage
	@$(BIN)/python -m bench.way $(BENCH_ARGS)

bench-scale: $(STAMP)  ## validate and aggregate over 1, 2, 4 and 8 shards
	@$(BIN)/python -m bench.scale $(BENCH_ARGS)

bench-engine: $(STAMP)  ## the backtest engine's work units beside their physical floor
	@$(BIN)/python -m bench.engine $(BENCH_ARGS)

bench-stream-server: $(STAMP)
	@$(BIN)/python bench/stream_server.py

synth: $(STAMP) $(NODE_STAMP)  ## CloudFormation of every stage into cdk.out, without Docker or credentials
	@npx cdk synth --quiet --no-notices

docs: $(STAMP)  ## the documentation into site/
	@$(BIN)/mkdocs build --strict --quiet && echo "site/index.html"

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate --override requirements/overrides.txt pyproject.toml

lock: $(STAMP)  ## lock the requirements again
	@$(LOCK) $(addprefix --extra ,aws feed lake research ml local infra dev) -o requirements/dev.txt
	@$(LOCK) --extra aws -o requirements/light.txt
	@$(LOCK) --extra aws --extra feed -o requirements/ingester.txt
	@$(LOCK) --extra aws --extra lake -o requirements/lake.txt
	@$(LOCK) --extra aws --extra lake --extra research --extra ml -o requirements/backtest.txt

clean:  ## everything that can be made again
	@rm -rf .tradelake build cdk.out site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
