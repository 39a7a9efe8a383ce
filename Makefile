# Each target works on a fresh clone with Python 3.11 or newer, git and make: the first one makes .venv.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
PYTEST := OMP_NUM_THREADS=1 python -m pytest -n logical --dist loadfile --no-loadscope-reorder
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
PEERS := .scratch/peers
SITE := .scratch/site
LOCK := uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate
.PHONY: help install repro study ablations controls theory report test test-long test-gpu chaos chaos-short mutants bench docs lint gate audit lock clean

help: ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(STAMP) ## make .venv from requirements.lock (every other target does it by itself)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ERROR: Python 3.11 or newer is needed; name one with `make PYTHON=...`")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $(STAMP)

# More threads gain little on 8x8 images, and would make the last digits depend on the number of cores.
repro study ablations controls theory report: export REFLOWBENCH_THREADS ?= 1

repro: $(STAMP) ## reproduce the results on all cores: run what changed, then mirror it in MLflow
	@reflowbench launch

study: $(STAMP) ## run the default chains with eight seeds (docs/findings.md); results go to reports/study
	@reflowbench launch --profile study

ablations: $(STAMP) ## run 56 variants of the methods on raw digits (docs/findings.md), about an hour on 2 cores
	@reflowbench launch ablations/dvc.yaml

controls: $(STAMP) ## run the positive controls of the metrics (docs/metrics.md), a few minutes
	@reflowbench launch controls/dvc.yaml

theory: $(STAMP) ## run the theory: closed forms beside small models (docs/theory.md), 6 minutes
	@reflowbench launch theory/dvc.yaml

report: $(STAMP) ## bring tables and figures up to date
	dvc repro report

test: $(STAMP) ## run the tests, the whole pipeline on the tiny profile among them; COVERAGE=1 counts lines too
	$(PYTEST) -m "not long" $(if $(COVERAGE),--cov --cov-report=term)

test-long: $(STAMP) ## run the tests that take minutes or want a PostgreSQL too
	$(PYTEST) -m long

test-gpu: $(STAMP) ## run the tests that want a GPU
	python -m pytest -n 4 -m gpu

chaos: $(STAMP) ## kill, fill disks and turn bits while the pipeline runs (docs/reliability.md), about half an hour
	python -m tests.chaos --report .scratch/chaos.md

chaos-short: $(STAMP) ## one of each of these faults, a few minutes
	python -m tests.chaos --short

mutants: $(STAMP) ## change the code in thousands of ways and see which tests mind (docs/mutants.md), hours
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 mutmut run
	python -m tests.mutants

# The peers are no dependency of the project: they stay in a folder of their own.
$(PEERS)/.installed: benchmarks/requirements.lock | $(STAMP)
	rm -rf $(PEERS)
	python -m pip install --quiet --disable-pip-version-check --no-deps --target $(PEERS) -r $<
	@touch $@

bench: $(STAMP) $(PEERS)/.installed ## measure side by side with peers (docs/performance.md), 100 minutes on an idle machine
	PYTHONPATH=$(PEERS) python -m benchmarks $(ONLY)

docs: $(STAMP) ## build the pages as a site, .scratch/site/README.html, and check every link inside
	rm -rf $(SITE) $(SITE)-pages && mkdir -p $(SITE)-pages
	git ls-files '*.md' docs reports benchmarks/results.json > $(SITE)-pages/files
	tar -cf $(SITE)-pages/files.tar -T $(SITE)-pages/files
	tar -xf $(SITE)-pages/files.tar -C $(SITE)-pages
	sphinx-build --quiet --fail-on-warning --keep-going -c docs $(SITE)-pages $(SITE)

lint: $(STAMP) ## check style, types, who imports whom, and what is unused
	ruff check src stages tests benchmarks docs
	ruff format --check src stages tests benchmarks docs
	mypy
	lint-imports
	vulture

gate: $(STAMP) ## check that the committed results come from the committed code and parameters
	python tests/gate.py

audit: $(STAMP) ## check the dependencies: exact pins, as installed, without known holes
	python tests/audit.py

lock: $(STAMP) ## resolve pyproject.toml into the two requirements.lock anew, keeping what still fits
	python -m pip install --quiet uv
	$(LOCK) --custom-compile-command "make lock" --extra dev pyproject.toml -o requirements.lock
	@mkdir -p .scratch
	$(LOCK) --no-header --extra bench -c requirements.lock pyproject.toml -o .scratch/bench.lock
	grep -vxFf requirements.lock .scratch/bench.lock > benchmarks/requirements.lock

clean: ## remove what a run makes (not .venv, not DVC's cache)
	rm -rf runs .scratch mutants mlflow.db mlflow.db-* mlartifacts dvc_plots .coverage* .hypothesis .import_linter_cache .pytest_cache .mypy_cache .ruff_cache
