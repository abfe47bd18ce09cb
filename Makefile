# Everything runs in .venv, which the first command makes. Needs Python 3.11 or newer, make, and the package index.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint bench pictures clean

help: ## What there is to make
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv --clear .venv # one that is there keeps the Python that it was made with
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[local]' --group dev
	$(BIN)/python -m compileall -q haop
	@touch $(STAMP)

demo: $(STAMP) ## A real failover, from nothing, in a temporary folder
	$(BIN)/haop demo --web

test: $(STAMP) ## Every test that this machine can run, two at a time; repeated tests run 3 times
	$(BIN)/python -m pytest --numprocesses 2

soak: $(STAMP) ## The repeated tests, as often as their issues ask, and the next HAOP_SOAK_HISTORIES=50 random histories
	HAOP_SOAK=1 $(BIN)/python -m pytest --numprocesses 2 --timeout 3000 -m "repeated or soak"

lint: $(STAMP) ## ruff, mypy, import-linter, shellcheck
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/shellcheck.py

bench: $(STAMP) ## Every benchmark, both sides in one run
	$(BIN)/python -m benchmarks.all

pictures: $(STAMP) ## The pictures in README.md, from a real run
	$(BIN)/python docs/pictures.py

clean: ## Remove what make made
	rm -rf .venv build dist
