# Development and the demo. A run on your own data needs none of this: `snakemake --cores 8`.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo $$python; exit; }; done; echo python3)
TORCH ?= auto
CORES ?= all
BIN := $(CURDIR)/.venv/bin
# Tests and jobs find the programs of .venv, and conda where find_tools.py had to bring it. Not for `install`, which must
# run with the Python outside of .venv.
WITH_PATH := PATH="$(BIN):$(CURDIR)/.venv-conda/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format lock clean clean-venv

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: CORES=$(CORES)  PYTHON=$(PYTHON)  TORCH=$(TORCH) (auto, cpu, cuda)"

install: ## make .venv with the locked packages; quick when nothing changed
	@$(PYTHON) envs/install.py --torch $(TORCH)

demo: install ## simulate a community, bin it, call novelty; results in demo/
	@$(WITH_PATH) CORES=$(CORES) $(BIN)/python envs/demo.py

test: install ## the default test suite
	@$(PYTHON) envs/find_tools.py >/dev/null || echo "Without these tools the tests that need them are skipped."
	$(WITH_PATH) $(BIN)/python -m pytest -n 2

lint: install ## style of Python, rules and workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(WITH_PATH) $(BIN)/snakefmt --check Snakefile rules
	$(WITH_PATH) $(BIN)/snakemake --lint

format: install ## bring Python and rules into style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(WITH_PATH) $(BIN)/snakefmt Snakefile rules

lock: ## write envs/requirements.lock from envs/requirements.in
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv==0.13.8
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" envs/requirements.in --output-file envs/requirements.lock

clean: ## remove the demo and caches; your results stay
	rm -rf demo .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

clean-venv: ## remove .venv and what belongs to it
	rm -rf .venv .venv-conda .venv-lock
