# Every target sets up what it needs; a set-up that is there costs nothing.
# PYTHON=...  the interpreter to make .venv with      ENGINE=cpu|cuda|none  instead of what the machine has

PY := .venv/bin/python
ROOMS := policies storage daemon console demos
export PYTHON ENGINE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench bench-quick clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

setup: ## .venv with everything, an engine that this machine can run
	@scripts/setup.sh

demo: setup ## agents on the real engine, first under LRU, then under our policy (ARGS="--quick")
	@$(PY) -m radixdeck.demos $(ARGS)

test: setup ## every test, the real engine included, three at a time (ARGS="-k front", ARGS="-n 0")
	@$(PY) -m pytest -n 3 --dist loadgroup --no-loadscope-reorder $(ARGS)

lint: ## style, types, import rules
	@scripts/setup.sh lint
	@status=0; \
	$(PY) -m ruff check . || status=1; \
	$(PY) -m ruff format --check . || status=1; \
	$(PY) -m pyright || status=1; \
	.venv/bin/lint-imports || status=1; \
	exit $$status

bench: setup ## SGLang's own cache against ours, in the model and on the engine, and what it costs; records in demos/results
	@status=0; \
	$(PY) -m radixdeck.demos.bench_model || status=1; \
	$(PY) -m radixdeck.demos.bench $(ARGS) || status=1; \
	$(PY) -m radixdeck.demos.bench_cost || status=1; \
	$(PY) -m radixdeck.demos.bench_overhead || status=1; \
	exit $$status

bench-quick: setup ## the same on one seed and tight KV memory, in under 20 minutes; fails when a floor is missed
	@missed=; \
	for part in bench_model bench_cost bench; do \
		echo "== $$part"; $(PY) -m radixdeck.demos.$$part --quick || missed="$$missed $$part"; \
	done; \
	if [ -n "$$missed" ]; then echo "MISSED:$$missed"; exit 1; else echo PASSED; fi

clean: ## remove .venv and everything generated
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .src/*.egg-info
	find $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +
