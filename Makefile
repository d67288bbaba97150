# The verbs of the house. `make setup` needs Python 3.11+ and nothing else; everything comes from requirements.lock.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo demo-kafka test check bench samples lock lint corpus faults clean

setup: .venv/.done ## .venv from the lock file, with .venv/bin/sundbro

.venv/.done: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## the whole gateway on this machine, fed with synthetic citizens
	$(BIN)/sundbro demo

test: setup ## the test suite
	$(BIN)/python -m pytest

lock: ## write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --all-extras pyproject.toml -o requirements.lock
