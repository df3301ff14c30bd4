# Every target sets up what it needs; a set-up that is there costs nothing.
# PYTHON=...  the interpreter to make .venv with      ENGINE=cpu|cuda|none  instead of what the machine has

PY := .venv/bin/python
ROOMS := policies storage daemon console demos
export PYTHON ENGINE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

setup: ## .venv with everything, an engine that this machine can run
	@scripts/setup.sh

demo: setup ## agents on the real engine, first under LRU, then under our policy (ARGS="--quick")
	@$(PY) -m radixdeck.demos $(ARGS)

test: setup ## every test, the real engine included (ARGS="-k front")
	@$(PY) -m pytest $(ARGS)

lint: ## style, types, import rules
	@scripts/setup.sh lint
	@status=0; \
	$(PY) -m ruff check . || status=1; \
	$(PY) -m ruff format --check . || status=1; \
	$(PY) -m pyright || status=1; \
	.venv/bin/lint-imports || status=1; \
	exit $$status

bench: setup ## SGLang's own cache against ours, and what the daemon costs; appends to demos/results
	@$(PY) -m radixdeck.demos.bench $(ARGS)
	@$(PY) -m radixdeck.demos.bench_overhead

clean: ## remove .venv and everything generated
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .src/*.egg-info
	find $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +
