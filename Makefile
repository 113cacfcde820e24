# Two commands matter: `make run` and `make test`. Both set up what is missing.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
READY := .venv/.ready
# Tests start hundreds of programs: each would compile this checkout and its libraries anew, which is half its time.
export PYTHONDONTWRITEBYTECODE :=
SECOND_CLIENT := .venv-ib_async/.ready
PACKAGES := execution risk data strategies backtesting monitoring research infrastructure
ARGS ?=
KILLS ?= 1000

.PHONY: FORCE help setup run test test-paper test-community servers lint types contracts security coverage conformance crash fuzz \
	simulate simulate-twice mutants bench bench-gateway bench-journal bench-orders bench-bars bench-database bench-projector \
	kill-journal kill-orders kill-database lock docs

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

$(READY): requirements-dev.txt pyproject.toml
	@PYTHON="$(PYTHON)" infrastructure/deploy/setup.sh

ifeq ($(origin PYTHON),command line)
$(READY): FORCE
endif
FORCE:

setup: $(READY) ## Make .venv and install the locked dependencies (PYTHON=... chooses the interpreter)

run: $(READY) ## Run the demo: a strategy against the simulated gateway (ARGS="--bars DIR" and other options)
	@$(BIN)/trade live --profile demo $(ARGS)

test: $(READY) servers lint types contracts security coverage ## Run everything that must pass: lint, types, imports, all tests

test-paper: $(READY) ## Run the checklist against a paper TWS and record its frames (TWS_PORT=7497 TWS_LOW=... TWS_HIGH=..., ARGS=--simulated)
	$(BIN)/python -m execution.examples.paper_checklist $(ARGS)

# A folder of initdb and postgres, or the address of a server for its superuser; the default is compiled to WebAssembly.
COMMUNITY ?= .timescaledb-community
ifeq ($(COMMUNITY),.timescaledb-community)
COMMUNITY_TESTS := $(addprefix tests/data/test_,community.py aggregation.py migrations.py backup.py)
else
COMMUNITY_TESTS := tests/data tests/infrastructure/test_databases.py
endif

test-community: $(READY) ## Test what TimescaleDB's community edition adds (COMMUNITY=/usr/lib/postgresql/17/bin or postgresql://...)
	@[ "$(COMMUNITY)" != .timescaledb-community ] || infrastructure/deploy/install-timescaledb-community.sh
	@ALPHEC_COMMUNITY="$(COMMUNITY)" $(BIN)/python -m pytest -q -k "timescale or community" $(COMMUNITY_TESTS) $(ARGS)

$(SECOND_CLIENT): requirements-ib_async.txt $(READY)
	@infrastructure/deploy/conformance-client.sh

servers: $(SECOND_CLIENT)
	@infrastructure/deploy/install-test-servers.sh

lint: $(READY) ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types strictly
	$(BIN)/mypy

contracts: $(READY) ## Check that imports point downwards
	$(BIN)/lint-imports

security: $(READY) ## Scan the code for unsafe calls, and every tracked file for secrets
	@# B608 (SQL made of strings) is left to ruff's S608, the same check, where each place gives its reason.
	$(BIN)/bandit --quiet --recursive --severity-level medium --skip B608 $(PACKAGES)
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --exclude-files 'requirements.*\.txt'

coverage: $(READY) $(SECOND_CLIENT) ## Run all tests and require 85 % branch coverage, child processes included
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

conformance: $(READY) $(SECOND_CLIENT) ## Run the gateway's scripts with two client libraries, print the table, write docs/conformance.md
	CONFORMANCE_TABLE=docs/conformance.md $(BIN)/python -m pytest -q -n 2 tests/backtesting/gateway/conformance \
		-k "not all_pass" $(ARGS)

crash: $(READY) ## Kill the trader 20 times over the whole demo; its ledgers must be those of a calm run
	CRASH_KILLS=20 CRASH_END=2018-12-31 $(BIN)/python -m pytest -s -q tests/infrastructure/test_crash.py

fuzz: $(READY) ## Feed the gateway's decoder 200,000 spoilt messages
	FUZZ_INPUTS=200000 $(BIN)/python -m pytest -q tests/backtesting/gateway/wire/test_fuzz.py

SEEDS ?=
START ?= $(shell date +%s)000

simulate: $(READY) ## Run 10,000 seeds of the fault simulation that nobody has seen (SEEDS=, START=)
	$(BIN)/trade simulate --seeds $(or $(SEEDS),10000) --start $(START) $(ARGS)

simulate-twice: $(READY) ## Run 1,000 seeds twice under different hash seeds; every trace must be the same
	$(BIN)/trade simulate --seeds $(or $(SEEDS),1000) --start $(START) --twice $(ARGS)

mutants: $(READY) ## Put known mistakes into the core; the fault simulation must find each within 2,000 seeds
	$(BIN)/python tests/backtesting/simulation/mutants/run.py --seeds $(or $(SEEDS),2000) $(ARGS)

bench: $(READY) ## Measure start-up of the command line
	$(BIN)/python infrastructure/deploy/bench_startup.py

bench-gateway: $(READY) ## Measure the gateway against bare asyncio: order latency, bars in lockstep, 8 clients for 5 minutes
	$(BIN)/python infrastructure/deploy/bench_gateway.py $(ARGS)

bench-journal: $(READY) ## Measure the journal: durable events a second in groups, verification
	$(BIN)/python infrastructure/deploy/bench_journal.py $(ARGS)

bench-bars: $(READY) ## Measure the stores of bars against bare COPY, ADBC and Parquet (ARGS="--rows 200000" is quick)
	$(BIN)/python infrastructure/deploy/bench_bars.py $(ARGS)

bench-database: $(READY) ## Measure daily bars of a year of minutes against numpy and raw minutes (ARGS="--symbols 10" is quick)
	$(BIN)/python infrastructure/deploy/bench_database.py $(ARGS)

bench-projector: $(READY) ## Measure the projector into TimescaleDB against bare COPY; rebuild 1,000,000 events and compare
	$(BIN)/python infrastructure/deploy/bench_projector.py $(ARGS)

kill-database: $(READY) ## Crash the database 200 times while it is written; no row may be lost or doubled
	$(BIN)/python infrastructure/deploy/bench_projector.py --stops 200 $(ARGS)

kill-journal: $(READY) ## Write 1,000,000 events while the writer is killed 40 times; nothing acknowledged may be lost
	$(BIN)/python infrastructure/deploy/bench_journal.py --kills 40 $(ARGS)

bench-orders: $(READY) ## Measure orders against ib_insync and a bare commit, reconciliation, 45 orders a second
	$(BIN)/python -m infrastructure.deploy.bench_orders $(ARGS)

kill-orders: $(READY) ## Kill traders at every step of an order's way, 1,000 times (KILLS=N); nothing lost or doubled
	$(BIN)/python -m infrastructure.deploy.kill_orders --kills $(KILLS) $(ARGS)

lock: $(READY) ## Resolve the dependencies anew into the lock files
	$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		pyproject.toml -o requirements.txt
	$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra dev \
		pyproject.toml -c requirements.txt -o requirements-dev.txt
	printf 'ib_async>=2.1.0\n' | $(BIN)/python -m uv pip compile --quiet --universal --generate-hashes \
		--python-version 3.11 - -o requirements-ib_async.txt

docs: $(READY) ## Write the generated tables in docs/
	$(BIN)/python infrastructure/deploy/generate_errors.py
