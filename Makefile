# What can be made here. Each target sets up first what it needs.

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench exercise faults lock clean

help: ## print this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: ## make .venv, and install what the system lacks (FUSE, headers, a compiler)
	@scripts/setup

demo: setup ## watch two agents race for one step, on a store of their own
	@.venv/bin/tcfs demo

test: setup ## run the whole test suite
	@.venv/bin/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: setup ## check style, types, and which way imports go
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup ## run the benchmarks
	.venv/bin/python -m bench

exercise: setup ## read, write and verify files at length, on two stores (needs fio; SEED=7 repeats a run)
	.venv/bin/python -m tests.mount.long_run $(if $(SEED),--seed $(SEED))

faults: setup ## claim, write and send for an hour while everything fails (SEED=7; PARTS="claims mail")
	.venv/bin/python -m tests.faults $(if $(SEED),--seed $(SEED)) $(PARTS)

lock: ## write requirements.lock anew, from the newest versions that pyproject.toml allows
	@scripts/lock

clean: ## remove what was made here, .venv too
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find tcfs tests bench -name __pycache__ -type d -exec rm -rf {} +
