JOB ?= examples/renderjob.yaml
BIN := .venv/bin

# Tests start hundreds of Python programs, each of which would compile all of our code where a shell forbids to keep it.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-without-cluster test-quick test-cluster test-images test-pods test-nodes test-servers test-upgrade test-neighbours test-all e2e lint format \
	bench bench-scale bench-http bench-timeline gallery images manifests lock cluster-up cluster-down cluster-install tools setup setup-dev clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## render the example (or JOB=path/to/renderjob.yaml); the first time, install what is missing
	@scripts/footage
	@$(BIN)/ecg-render run $(JOB)

# More tests at once than cores: none keeps a core busy, each also waits for processes and clocks. Memory ends it at 8.
AT_ONCE := --numprocesses $(shell echo $$((2 * $$(nproc)))) --maxprocesses 8 --dist worksteal

test: setup-dev ## lint, and all tests that need no Kubernetes (ARGS="-k words" narrows them)
ifdef ARGS
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest $(ARGS)
else
	@$(MAKE) --no-print-directory --jobs 2 lint test-without-cluster
endif

# In a fresh clone all modules are still to be compiled, and tests to be rewritten: by one process, not by each.
test-without-cluster:
	@test -d tests/api/__pycache__ || $(BIN)/python -m pytest -q -m "not cluster" --collect-only > /dev/null || true
	@$(BIN)/python -m pytest -q -m "not cluster" $(AT_ONCE)

test-quick: setup-dev ## two minutes: what decides and plans, without browser, FFmpeg and clusters
	@$(BIN)/python -m pytest -q -m "not cluster" tests/api tests/bench tests/common tests/controller/pure \
		tests/renderer/planning tests/repository

test-cluster: setup-dev tools ## the tests with a real API server, and as root those with real pods
	@$(MAKE) --no-print-directory --jobs 4 test-images test-pods test-nodes test-servers

# While tests run that need none. Those that need them say it if they cannot be built.
test-images:
	@test "$$(id -u)" -ne 0 || $(BIN)/python tests/support/images.py > /dev/null 2>&1 || true

# In two clusters at once.
test-pods:
	@$(BIN)/python -m pytest -q tests/e2e --ignore=tests/e2e/test_upgrade.py --numprocesses 2 --dist loadfile

test-nodes:
	@$(BIN)/python -m pytest -q tests/cluster

# They wait more than they work.
test-servers:
	@$(BIN)/python -m pytest -q -m cluster --ignore=tests/cluster --ignore=tests/e2e --ignore=tests/neighbours \
		--numprocesses 2 --dist worksteal

test-upgrade: setup-dev tools ## from the first chart to this one and back under load, with real pods of both; needs root and history
	@$(BIN)/python -m pytest -q tests/e2e/test_upgrade.py $(ARGS)

test-neighbours: setup-dev tools ## beside the real Karpenter and the real Kueue, on nodes that only pretend; builds both (minutes, once)
	@$(BIN)/python tests/support/go_tools.py karpenter kueue > /dev/null
	@$(BIN)/python -m pytest -q tests/neighbours $(ARGS)

test-all: test test-cluster ## both, as continuous integration does

e2e: setup-dev tools ## only the tests with real pods in a cluster of one node; needs root
	@$(BIN)/python -m pytest tests/cluster tests/e2e $(ARGS)

lint: setup-dev ## ruff, mypy --strict, the import layers, shellcheck
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@shellcheck $(filter-out %.py %__pycache__,$(wildcard scripts/*)) .ci/run tests/support/nvenc/build.sh

format: setup-dev ## put the code into ruff's shape
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

bench: setup-dev ## compare with plain FFmpeg on this machine; writes bench/results.md (ARGS=--quick for a look)
	@scripts/footage
	@$(BIN)/python -m compileall -q renderer common crds operator
	@$(BIN)/python -m bench $(ARGS)

bench-scale: setup-dev tools ## 1,000 RenderJobs at once beside 20,000 that are over, on nodes that only pretend; writes bench/scale.md (ARGS=--help)
	@$(BIN)/python -m bench.scale $(ARGS)

bench-http: setup-dev ## 10,000 clients that poll the HTTP service, and 200 jobs; writes bench/http.md (ARGS=--help)
	@scripts/footage
	@$(BIN)/python -m bench.http $(ARGS)

bench-timeline: setup-dev tools ## where the seconds of a short job go in a cluster of one node; needs root; writes bench/timeline.md
	@$(BIN)/python -m bench.timeline $(ARGS)

gallery: setup-dev ## draw docs/images/plugins and dashboards: caption plugins, and Grafana's dashboards over a made-up day
	@$(BIN)/python docs/gallery.py
	@$(BIN)/python docs/dashboards.py

images: setup-dev ## build both images with buildah or docker (PREFIX=registry.example/team TAG=1.2.3); what is in them to out/images
	@REPORT=out/images scripts/images

cluster-up: setup-dev tools ## start a Kubernetes of one node and an S3 server that stay; prints how to use them; needs root
	@PYTHONPATH=tests/support $(BIN)/python -m cluster up

cluster-install: setup-dev tools ## our images and the operator into that cluster, the example's files into its S3
	@scripts/footage
	@PYTHONPATH=tests/support $(BIN)/python -m deployment

cluster-down: ## end that cluster and remove all of it
	@PYTHONPATH=tests/support $(BIN)/python -m cluster down

manifests: setup ## write crds/renderjob.yaml, and what the chart has of it and of its values, from their sources
	@$(BIN)/python -m ecg_api.crd > crds/renderjob.yaml.new
	@mv crds/renderjob.yaml.new crds/renderjob.yaml
	@cp crds/renderjob.yaml helm/ecg-render/files/renderjob.yaml
	@$(BIN)/python helm/readme.py

lock: setup-dev ## pin the dependencies anew (ARGS=--upgrade for newer ones)
	@scripts/lock $(ARGS)

tools: setup-dev ## build etcd, Kubernetes, helm and others for the tests (about 7 minutes, once)
	@$(BIN)/python tests/support/go_tools.py > /dev/null

setup: ## install what rendering needs
	@scripts/setup

setup-dev: ## and what the tests and the linters need
	@scripts/setup --dev

clean: ## remove everything that was made or installed here; the downloaded footage stays
	rm -rf .venv .cache out dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf renderer/ecg_renderer/page/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
