# perfloop: `make up` measures this machine, `make demo` shows the loop close, `make test` checks everything.
PY := .venv/bin/python
.PHONY: help install up demo test test-long soak lint format generate bench clean

help: ## Say what can be done here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

install: ## Make .venv and install the servers that are missing (a second run installs nothing)
	@scripts/install

up: install ## Start Prometheus, Alertmanager, the exporter and the optimizer; Ctrl-C ends them all
	@.venv/bin/perfloop up

demo: install ## Watch perfloop find, change, prove, and undo, on real databases
	@.venv/bin/perfloop demo

test: install ## Do what lint does, then run every test against real servers (under 10 minutes)
	@scripts/test

test-long: install ## Run the tests that take minutes: the demo from end to end
	@$(PY) -m pytest -m long

soak: install ## Let Prometheus scrape the exporter each second for two minutes, with everything it can measure
	@PERFLOOP_SOAK_SECONDS=120 $(PY) -m pytest tests/app/test_everything.py -k prometheus

lint: install ## Check style, types, layers, rules and generated files
	@scripts/lint

format: install ## Put the code into its style
	@.venv/bin/ruff check --fix-only --quiet . && .venv/bin/ruff format --quiet .

generate: install ## Write rules/generated, dashboards and the generated docs anew
	@scripts/generate

bench: install ## Measure against peers (one thing: make bench-NAME); tables go to build/bench/
	@$(PY) -m tests.bench

bench-%: install
	@$(PY) -m tests.bench $*

clean: ## Remove .venv, state and build results
	@rm -rf .venv .perfloop build
