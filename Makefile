# Each target sets up what it needs on a fresh machine with Python 3.11 or later and pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# uv resolves in seconds where pip takes minutes; it comes from PyPI into the new environment.
STAMP := $(VENV)/.installed
# Most tests wait for servers. Each process starts its own; a file's tests stay together.
PROCESSES ?= 2

.PHONY: demo test corpus starlette-suite check bench manifests docs clean help

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	@echo "setting up $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV) >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv >&2
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[sidecar,istio,locust,demo,dev]' >&2
	@touch $(STAMP)

# Standard output is the demo's own: `make demo ARGS='--format json'` prints JSON and nothing else.
demo: $(STAMP) ## Mirror live traffic through a real Envoy and read the report
	@$(BIN)/mirrorproof demo $(ARGS)

test: $(STAMP) ## Run every test, on real servers
	@tests/install-servers
	$(BIN)/python -m pytest --numprocesses=$(PROCESSES) --dist=loadfile $(ARGS)

corpus: $(STAMP) ## Measure precision and recall of the comparison on the labelled corpus
	@$(BIN)/python -m tests.corpus $(ARGS)

starlette-suite: $(STAMP) ## Run Starlette's own tests with each application wrapped
	$(BIN)/python tests/starlette_suite.py

check: $(STAMP) ## Lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## Measure the middleware beside its peers, v1's wait for locks, and how often gates are wrong
	$(BIN)/python -m benchmarks.middleware $(ARGS)
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.locks
	$(BIN)/python -m benchmarks.locks_mariadb
	$(BIN)/python -m benchmarks.verdict
	$(BIN)/python -m benchmarks.locks_sqlite

manifests: $(STAMP) ## Render envoyfilters/*.yaml anew
	$(BIN)/python -m mirrorproof_istio envoyfilters/mirror-port.yaml

docs: $(STAMP) ## Write docs/settings.md and docs/guards.md anew
	$(BIN)/python docs/settings_page.py
	$(BIN)/python docs/guards_page.py

clean: ## Remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
