# Two commands matter: `make run` and `make test`. Both set up what is missing.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
READY := .venv/.ready
PACKAGES := execution risk data strategies backtesting monitoring research infrastructure
ARGS ?=

.PHONY: help setup run test servers lint types contracts security coverage crash bench lock docs

help: ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

$(READY): requirements-dev.txt pyproject.toml
	@PYTHON="$(PYTHON)" infrastructure/deploy/setup.sh

setup: $(READY) ## Make .venv and install the locked dependencies (PYTHON=... chooses the interpreter)

run: $(READY) ## Run the demo: a strategy against the simulated gateway (ARGS="--bars DIR" and other options)
	@$(BIN)/trade live --profile demo $(ARGS)

test: $(READY) servers lint types contracts security coverage ## Run everything that must pass: lint, types, imports, all tests

servers:
	@infrastructure/deploy/install-test-servers.sh

lint: $(READY) ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types strictly
	$(BIN)/mypy

contracts: $(READY) ## Check that imports point downwards
	$(BIN)/lint-imports

security: $(READY) ## Scan the code for unsafe calls, and every tracked file for secrets
	$(BIN)/bandit --quiet --recursive --severity-level medium $(PACKAGES)
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --exclude-files 'requirements.*\.txt'

coverage: $(READY) ## Run all tests and require 85 % branch coverage, child processes included
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

crash: $(READY) ## Kill the trader 20 times over the whole demo; its ledgers must be those of a calm run
	CRASH_KILLS=20 CRASH_END=2018-12-31 $(BIN)/python -m pytest -s -q tests/infrastructure/test_crash.py

bench: $(READY) ## Measure start-up of the command line
	$(BIN)/python infrastructure/deploy/bench_startup.py

lock: $(READY) ## Resolve the dependencies anew into the two lock files
	$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		pyproject.toml -o requirements.txt
	$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra dev \
		pyproject.toml -c requirements.txt -o requirements-dev.txt

docs: $(READY) ## Write the generated tables in docs/
	$(BIN)/python infrastructure/deploy/generate_errors.py
