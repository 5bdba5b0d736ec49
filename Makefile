# Needs Python 3.11 or newer, and make. Everything else is installed into .venv by the first target that needs it.

PYTHON ?= python3
AIRFLOW_VERSION ?= 3.3.2

VENV := .venv
BIN := $(VENV)/bin
# One stamp per Airflow version, so that asking for another version installs it.
STAMP := $(VENV)/.installed-airflow-$(AIRFLOW_VERSION)
BROWSER_STAMP := $(VENV)/.installed-browser
DISTRIBUTED_STAMP := $(VENV)/.installed-distributed

# A line at the start of a step, at its end, and every few seconds between.
PROGRESS := $(PYTHON) tools/progress.py

EXTRAS := openlineage,parquet,sandbox,socks

ANSWERS ?= 1000000
SEED ?= 0

DOCS_VENV := .venv-docs
DOCS_BIN := $(DOCS_VENV)/bin
DOCS_STAMP := $(DOCS_VENV)/.installed
DOCS_SITE := build/docs
LOADED_FROM_ELSEWHERE := '<(script|img|iframe|source)[^>]* src="?(https?:)?//|<link[^>]*stylesheet[^>]*//'

# Prefect and Airflow need different versions of the same packages.
PREFECT := .prefect
PREFECT_STAMP := $(PREFECT)/.installed
PREFECT_PACKAGE := examples/airflow-provider-flowruns-prefect

# The peers' packages stay out of the environment that tests run in.
BENCH := .bench
BENCH_STAMP := $(BENCH)/.installed-airflow-$(AIRFLOW_VERSION)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 and AIRFLOW_VERSION=3.3.2 choose what 'make venv' builds with."

.PHONY: demo
demo: $(STAMP) ## Run the example DAGs in a real Airflow against the sandbox; KEEP=1 leaves both up to look around
	@$(BIN)/python -m tools.demo $(if $(KEEP),--keep)

# Most tests wait for something, so more of them run at a time than there are cores. Those in Airflow run in two
# installations at a time, a whole file in each: they mostly wait for its scheduler. Coverage is that of the first line:
# what only a real Airflow runs is not counted.
.PHONY: test
test: lint types ## Lint, types and the tests on the newest Airflow; test-nightly has those that take longest
	$(BIN)/pytest -m "not nightly" tests/faults tests/docs tests/parity tests/unit -n 8 --dist worksteal --cov
	$(BIN)/pytest -m "not nightly" tests/airflow -n 2 --dist loadfile

.PHONY: test-nightly
test-nightly: $(STAMP) ## The tests that take longest, which make test leaves out
	$(BIN)/pytest -m nightly tests/faults tests/docs tests/parity tests/unit -n 4 --dist worksteal
	$(BIN)/pytest -m nightly tests/airflow -n 2 --dist loadfile
	$(BIN)/pytest -m nightly tests/cookbook

.PHONY: test-matrix
test-matrix: $(STAMP) ## Unit, parity and one real DAG run on every Airflow; VERSIONS="2.11 3.0" for some
	$(BIN)/python -m tools.matrix --record $(VERSIONS)

.PHONY: versions
versions: ## List the versions that test-matrix knows, as JSON
	@$(PYTHON) -m tools.matrix --list

.PHONY: test-distributed
test-distributed: $(DISTRIBUTED_STAMP) ## Celery, Redis, PostgreSQL, two of each component; CASES=tests/distributed/test_x.py for some
	$(BIN)/python -m tools.distributed $(CASES)

# The package is built and installed beside the environment, which has our services only.
.PHONY: test-prefect
test-prefect: export PREFECT_ENVIRONMENT := $(PREFECT)/venv
test-prefect: export PYTHONPATH := $(CURDIR)/$(PREFECT)/site:$(PREFECT_PACKAGE)/tests:$(PREFECT_PACKAGE)/tests/server
test-prefect: $(STAMP) $(PREFECT_STAMP) ## The package for a fourth service: the conformance kit, and a real Prefect server
	$(BIN)/uv pip install --python $(VENV) --target $(PREFECT)/site --no-deps --reinstall --quiet ./$(PREFECT_PACKAGE)
	$(BIN)/pytest $(PREFECT_PACKAGE)/tests/test_conformance.py $(PREFECT_PACKAGE)/tests/test_package.py -n 4
	$(BIN)/pytest $(PREFECT_PACKAGE)/tests/server

.PHONY: test-first-steps
test-first-steps: $(STAMP) ## The wheel and the README's DAG in a new environment, and the demo
	$(BIN)/pytest tests/first_steps

.PHONY: test-browser
test-browser: $(BROWSER_STAMP) $(DOCS_STAMP) ## Use Airflow's UI and the docs in a headless Chromium or Chrome, which CHROMIUM=/path names
	$(BIN)/pytest tests/browser

.PHONY: fuzz
fuzz: $(STAMP) ## Send a million random responses through all parsers; ANSWERS=20000 for fewer, SEED=1 for others
	nice -n 10 $(BIN)/python -m tests.fuzz $(ANSWERS) $(SEED)

.PHONY: bench
bench: $(BENCH_STAMP) $(STAMP) ## Measure this package beside its peers; writes docs/benchmarks.md and .svg; BENCH_ARGS="--runs 3"
	$(BENCH)/bin/python -m benchmarks $(BENCH_ARGS)
	@$(MAKE) --no-print-directory bench-quick BENCH_ARGS=--store

.PHONY: bench-quick
bench-quick: $(STAMP) ## Compare with bare loops in minutes, and fail on worse figures than stored; BENCH_ARGS=--store stores them
	$(BIN)/python -m benchmarks.guard $(BENCH_ARGS)

.PHONY: bench-triggerer
bench-triggerer: $(STAMP) ## Measure up to 10,000 waits in a real triggerer (apt-get install postgresql); takes hours
	$(BIN)/python -m benchmarks.real_triggerer $(BENCH_ARGS)

.PHONY: soak
soak: $(STAMP) ## Run thousands of waits in a real triggerer for two hours, while services fail (apt-get install postgresql)
	$(BIN)/python -m benchmarks.soak $(SOAK_ARGS)

.PHONY: test-fast
test-fast: $(STAMP) ## Lint, types and the unit tests of what decides: model and polling; within half a minute
	@$(MAKE) --no-print-directory -j 3 lint types unit-pure

.PHONY: unit-pure
unit-pure: $(STAMP) ## Unit tests of the model and of polling, which do no I/O
	$(BIN)/pytest -m "not nightly" tests/unit/model tests/unit/polling -n 2

.PHONY: unit
unit: $(STAMP) ## Unit tests
	$(BIN)/pytest tests/unit -n 2

.PHONY: lint
lint: $(STAMP) ## Run every check of .pre-commit-config.yaml on all files
	PRE_COMMIT_HOME=.cache/pre-commit $(BIN)/pre-commit run --all-files

.PHONY: hooks
hooks: $(STAMP) ## Run the same checks at each commit, on the files that it changes
	$(BIN)/pre-commit install

.PHONY: format
format: $(STAMP) ## Fix style
	$(BIN)/ruff check --cache-dir .ruff_cache --fix .
	$(BIN)/ruff format --cache-dir .ruff_cache .

.PHONY: types
types: $(STAMP) ## Check types
	$(BIN)/mypy

.PHONY: docs
docs: $(DOCS_STAMP) ## Build the docs into build/docs; a warning or a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS_BIN)/mkdocs build --strict --clean --site-dir $(DOCS_SITE)
	$(DOCS_BIN)/lychee --offline --include-fragments --no-progress --root-dir $(CURDIR)/$(DOCS_SITE) '$(DOCS_SITE)/**/*.html'
	$(DOCS_BIN)/lychee --offline --include-fragments --no-progress '*.md'
	@! grep -rnE $(LOADED_FROM_ELSEWHERE) $(DOCS_SITE) --include='*.html' || { \
	  echo 'These lines load something from another host; the site must work offline.' >&2; exit 1; }

# Aliases are pages that redirect: not every host serves symbolic links.
.PHONY: docs-version
docs-version: $(DOCS_STAMP) ## Commit the docs of this version to the branch gh-pages, beside older ones; pushes nothing
	version=$$($(PYTHON) -c 'import airflow_provider_flowruns as package; print(package.__version__)') && \
	export PATH="$(abspath $(DOCS_BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 && \
	mike deploy --update-aliases --alias-type redirect "$$version" latest && mike set-default latest

.PHONY: venv
venv: $(STAMP) ## Install Airflow, the package and its tools into .venv

.PHONY: dist
dist: $(STAMP) ## Build wheel and sdist into dist
	$(BIN)/uv build --quiet

.PHONY: clean
clean: ## Remove all environments, caches and what the demo left
	rm -rf $(VENV) $(DOCS_VENV) $(BENCH) $(PREFECT) .cache .coverage .demo .matrix .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Bytecode is compiled here once: otherwise four Airflow processes do it again at every start where Python
# may not write it later (PYTHONDONTWRITEBYTECODE).
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is missing or older than Python 3.11. Name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PROGRESS) $(VENV) "creating the virtual environment" $(PYTHON) -m venv $(VENV)
	@$(PROGRESS) $(VENV) "installing uv" $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(PROGRESS) $(VENV) "installing Airflow $(AIRFLOW_VERSION) and the package with its tools" \
	  $(BIN)/uv pip install --python $(VENV) --quiet --compile-bytecode -e ".[$(EXTRAS)]" --group dev \
	  "apache-airflow==$(AIRFLOW_VERSION)"
	@rm -f $(VENV)/.installed-airflow-*
	@touch $@

$(BROWSER_STAMP): $(STAMP)
	$(BIN)/uv pip install --python $(VENV) --quiet --compile-bytecode --group browser
	@touch $@

$(DISTRIBUTED_STAMP): $(STAMP)
	$(BIN)/uv pip install --python $(VENV) --quiet --compile-bytecode --group distributed \
	  "apache-airflow==$(AIRFLOW_VERSION)"
	@touch $@

$(PREFECT_STAMP): $(STAMP)
	$(PYTHON) -m venv $(PREFECT)/venv
	$(BIN)/uv pip install --python $(PREFECT)/venv --quiet "prefect>=3.4,<4"
	@touch $@

# The docs are built from the sources, without Airflow.
$(DOCS_STAMP): pyproject.toml
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(DOCS_BIN)/uv pip install --python $(DOCS_VENV) --quiet --group docs
	@touch $@

$(BENCH_STAMP): pyproject.toml benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(BENCH)/bin/uv pip install --python $(BENCH) --quiet --compile-bytecode -e ".[$(EXTRAS)]" --group test \
	  "apache-airflow==$(AIRFLOW_VERSION)" -r benchmarks/requirements.txt
	@rm -f $(BENCH)/.installed-airflow-*
	@touch $@
