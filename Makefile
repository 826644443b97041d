JOB ?= examples/renderjob.yaml
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench manifests lock setup setup-dev clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## render the example (or JOB=path/to/renderjob.yaml); the first time, install what is missing
	@scripts/footage
	@$(BIN)/ecg-render run $(JOB)

test: lint ## lint, then run the tests (ARGS="-k words" narrows them)
	@$(BIN)/python -m pytest $(ARGS)

lint: setup-dev ## ruff, mypy --strict, the import layers, shellcheck
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@shellcheck scripts/* .ci/run

format: setup-dev ## put the code into ruff's shape
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

bench: setup-dev ## compare with plain FFmpeg on this machine; writes bench/results.md (ARGS=--quick for a look)
	@scripts/footage
	@$(BIN)/python -m bench $(ARGS)

manifests: setup ## write crds/renderjob.yaml from the models
	@$(BIN)/python -m ecg_api.crd > crds/renderjob.yaml.new
	@mv crds/renderjob.yaml.new crds/renderjob.yaml

lock: setup-dev ## pin the dependencies anew (ARGS=--upgrade for newer ones)
	@scripts/lock $(ARGS)

setup: ## install what rendering needs
	@scripts/setup

setup-dev: ## and what the tests and the linters need
	@scripts/setup --dev

clean: ## remove everything that was made or installed here; the downloaded footage stays
	rm -rf .venv .cache out dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf renderer/ecg_renderer/page/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
