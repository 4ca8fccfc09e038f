.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
# Threads that spin while they wait slow each other down on a shared machine.
export OMP_WAIT_POLICY ?= passive
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Trimtab needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: install
install: $(STAMP) ## make .venv with pinned dependencies; .venv/bin/trimtab is the command

.PHONY: demo
demo: install ## start the service, diagnose two models of the paper with curl, stop the service
	@bash examples/demo.sh

.PHONY: serve
serve: install ## run the service on http://127.0.0.1:8000 until Ctrl-C
	@$(BIN)/trimtab serve

.PHONY: test
test: install ## run all tests, in two processes of one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: compose-check
compose-check: ## bring docker-compose.yml up for real and see that it holds; needs Docker, takes minutes
	@bash tests/compose/check.sh

.PHONY: fuzz
fuzz: install ## make 20,000 requests that nobody would write, with keys
	@$(BIN)/python -m bench.fuzz

.PHONY: chaos
chaos: install ## 200 jobs while workers, broker, API and database are killed: 10 minutes
	$(BIN)/python -m tests.chaos

.PHONY: load
load: install ## submits and reads of 100 clients, beside a bare endpoint
	$(BIN)/python -m bench.load

.PHONY: lint
lint: install ## check style and types, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: fix
fix: install ## format, and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: install ## measure what each part costs, into docs/performance.md; takes ten minutes
	$(BIN)/python -m bench.performance

.PHONY: clean
clean: ## remove what make and the service left in this folder
	rm -rf $(VENV) .trimtab
