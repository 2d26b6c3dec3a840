# Everything is installed below this directory; nothing else on the machine changes.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
UV_VERSION := 0.13.8
UV := .tools/bin/uv
PY := $(VENV)/bin/python
PORT ?= 8000
CHROMIUM ?= $(or $(shell command -v chromium),/usr/bin/chromium)
SYSTEM_POSTGRES := /usr/lib/postgresql/15/bin

export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_USER := 0
unexport VIRTUAL_ENV
unexport PYTHONPATH
unexport PYTHONHOME

# An account without a home of its own keeps its cache here.
ifneq ($(shell test -n "$$HOME" -a -w "$$HOME" && echo yes),yes)
export UV_CACHE_DIR := .tools/cache
export PIP_NO_CACHE_DIR := 1
endif

.DEFAULT_GOAL := help
.PHONY: help demo demo-full serve test test-all test-browser test-server test-soak bench lint format migrate stop clean wheel lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.synced ## Break a small data set, then analyze, repair, verify and undo
	@$(PY) -m config.demo

demo-full: $(VENV)/.synced ## The same with a corrupted table of 3,470,114 rows
	@$(PY) -m config.demo --full

serve: $(VENV)/.synced ## Serve the pages, the API and the administration, with test data (PORT=8000)
	@PORT="$(PORT)" $(PY) -m config.serve

test: $(VENV)/.synced ## Run the tests, in parallel (ARGS="-k word" chooses)
	@$(PY) -m pytest -q -n 2 --dist worksteal $(ARGS)

test-all: ## Run the tests on Django 5.2 and 6.1, PostgreSQL 18 and 15
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-server
	@if [ -x "$(SYSTEM_POSTGRES)/postgres" ]; then \
	  echo "PostgreSQL from $(SYSTEM_POSTGRES):"; \
	  EMBEDDED_PG_BIN="$(SYSTEM_POSTGRES)" $(MAKE) --no-print-directory test; \
	else echo "SKIPPED: PostgreSQL 15, there is none in $(SYSTEM_POSTGRES)" >&2; fi
	@found=; \
	for python in python3.13 "$$(dirname "$$(command -v pyenv)")"/../versions/3.13*/bin/python3.13; do \
	  if "$$python" -c "" 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -n "$$found" ]; then \
	  echo "Python 3.13 with Django 6.1:"; \
	  $(MAKE) --no-print-directory test VENV=.venv-3.13 PYTHON="$$found"; \
	else echo "SKIPPED: Python 3.13 with Django 6.1, neither PATH nor pyenv has a python3.13" >&2; fi

test-browser: $(VENV)/.synced ## Run the tests in Debian's Chromium
	@if [ ! -x "$(CHROMIUM)" ]; then \
	  echo "There is no Chromium at '$(CHROMIUM)': install Debian's (apt-get install chromium), or name one with CHROMIUM=..." >&2; \
	  exit 2; fi
	@CHROMIUM="$(CHROMIUM)" $(PY) -m pytest -q -m browser tests/browser $(ARGS)

test-server: $(VENV)/.synced ## Run the tests of the embedded PostgreSQL itself, and of the demo on one
	@$(PY) -m pytest -q -n 2 --dist loadfile -m server tests/config/test_embedded_postgres.py tests/config/test_demo.py $(ARGS)

test-soak: $(VENV)/.synced ## Run the long random tests
	@$(PY) -m pytest -q -m soak $(ARGS)

bench: $(VENV)/.synced ## Measure time and memory by the size of the data
	@$(PY) -m tests.benchmarks $(ARGS)

lint: $(VENV)/.synced ## Check style, types, import directions and migrations
	@$(VENV)/bin/ruff check --quiet --output-format concise .
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(PY) manage.py makemigrations --check --dry-run
	@$(PY) manage.py lintmigrations --settings tests.settings --project-root-path . --exclude-apps toy procrastinate --no-cache --quiet ok ignore

format: $(VENV)/.synced ## Rewrite the code in the project's style
	@$(VENV)/bin/ruff check --fix --quiet . ; $(VENV)/bin/ruff format .

migrate: $(VENV)/.synced ## Create or update the tables
	@$(PY) manage.py migrate

stop: $(VENV)/.synced ## Stop the embedded PostgreSQL
	@$(PY) -m config.embedded_postgres
	@EMBEDDED_PG_DATA=.data/test-postgres $(PY) -m config.embedded_postgres >/dev/null

clean: ## Stop the server; remove its data and all that was installed here
	@if [ -x $(PY) ]; then $(PY) -m config.embedded_postgres; \
	  EMBEDDED_PG_DATA=.data/test-postgres $(PY) -m config.embedded_postgres >/dev/null; fi
	@if [ -x $(PY) ] && [ -d .data/test-postgres/15 ]; then EMBEDDED_PG_DATA=.data/test-postgres \
	  EMBEDDED_PG_BIN="$(SYSTEM_POSTGRES)" $(PY) -m config.embedded_postgres >/dev/null; fi
	@if [ -x $(PY) ] && [ -d .data/postgres/15 ]; then \
	  EMBEDDED_PG_BIN="$(SYSTEM_POSTGRES)" $(PY) -m config.embedded_postgres; fi
	@rm -rf .venv .venv-3.13 .tools .data dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

wheel: $(UV) ## Build the wheel of the engine alone
	@$(UV) build --wheel --python "$(PYTHON)" $(ARGS)

lock: $(UV) ## Resolve the dependencies anew
	@$(UV) lock --python "$(PYTHON)"

$(UV):
	@echo "Installing uv $(UV_VERSION) into .tools"
	@"$(PYTHON)" -m pip install --quiet --upgrade --target .tools uv==$(UV_VERSION)

$(VENV)/.synced: $(UV) pyproject.toml uv.lock
	@echo "Installing the locked dependencies into $(VENV)"
	@$(UV) sync --quiet --frozen --python "$(PYTHON)"
	@touch $@
