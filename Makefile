.DEFAULT_GOAL := help
.PHONY: help demo dev test slow check lint types arch docs pictures bench wheel

PYTHON ?= python3
UV := .uv/bin/uv
RUN := .venv/bin/
export DAGSTER_HOME ?= $(CURDIR)/.dagster
export UV_PYTHON_DOWNLOADS = never

help:            ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.ready  ## collect from the simulated exchange in real Dagster runs, offline; then the inventory
	@$(RUN)dccd demo

dev: .venv/.ready   ## dccd up: Dagster's UI, schedules and streams on http://127.0.0.1:3000; make dev ARGS="--port 3001"
	$(RUN)dccd up --verbose $(ARGS)

test: .venv/.ready  ## all tests, offline; one that hangs fails by name; make test ARGS="-k budget"
	$(RUN)pytest --timeout 600 -n 4 --dist worksteal -m "not slow and not alone" $(ARGS) || [ $$? -eq 5 ]
	$(RUN)pytest --timeout 600 -m "alone and not slow" tests/promises $(ARGS) || [ $$? -eq 5 ]

slow: .venv/.ready  ## the tests that take minutes: ten million trades, the real rate limit
	$(RUN)pytest -m slow $(ARGS)

check: lint types arch docs test  ## all that CI runs, cheapest first

lint: .venv/.lint   ## ruff: rules and format
	$(RUN)ruff check . && $(RUN)ruff format --check .

types: .venv/.lint  ## pyright, strict
	$(RUN)pyright

arch: .venv/.lint   ## which layer may import which
	$(RUN)lint-imports

docs: .venv/.docs   ## the documentation as a site, links checked: dist/docs/index.html, for a browser without a server
	@NO_MKDOCS_2_WARNING=1 $(RUN)python -m mkdocs build --strict --quiet && echo "$(CURDIR)/dist/docs/index.html"

pictures: .venv/.ready  ## docs/pictures, of a dccd up on the simulated exchange; needs Debian's chromium
	$(UV) sync --quiet --locked --inexact --python $(PYTHON) --group test --group pictures
	DCCD_PICTURES=docs/pictures $(RUN)pytest -m slow tests/e2e/test_browser.py

bench: .venv/.ready ## speed against a raw floor, dccd 3.8.1 and ccxt; make bench ARGS="--only klines"
	$(RUN)python -m benchmarks $(ARGS)

wheel: $(UV)        ## dist/dccd-*.whl, with which `pip install` gives all of it
	$(UV) build --quiet --wheel --python $(PYTHON)

# uv comes from pip into a folder of its own and makes the environment: no venv module, no system packages.
$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .uv uv

.venv/.ready: $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --locked --inexact --python $(PYTHON) --group test
	@touch $@

.venv/.lint: .venv/.ready
	$(UV) sync --quiet --locked --inexact --python $(PYTHON) --group test --group lint
	@touch $@

.venv/.docs: .venv/.ready
	$(UV) sync --quiet --locked --inexact --python $(PYTHON) --group test --group docs
	@touch $@
