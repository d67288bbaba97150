# The verbs of the house. `make setup` needs Python 3.11+ and nothing else; everything comes from requirements.lock.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo demo-kafka test browser check bench bench-peer samples docs lock corpus faults clean

setup: .venv/.done ## .venv from the lock file, with .venv/bin/sundbro

.venv/.done: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## the whole gateway on this machine, fed with synthetic citizens
	$(BIN)/sundbro demo

test: setup ## the test suite, in two processes: the files of each in turn, in their order
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

browser: ## Debian's Chromium for the tests that people's browsers are in; without it they say that they have not run
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  { apt-get install -y -qq chromium || { apt-get update -qq && apt-get install -y -qq chromium; }; } >/dev/null 2>&1; } || \
	  echo "no Chromium here, and it cannot be installed: log-in and SMART launches are not tried in a browser"

lock: ## write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --all-extras pyproject.toml -o requirements.lock

demo-kafka: setup ## the demo on a real Kafka broker (Java 17, Maven) and PostgreSQL
	$(BIN)/python -m tests.kafka.demo

check: setup ## what CI runs: style, types, contracts, reference, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/make_reference.py --check
	$(MAKE) test

bench: setup ## the benchmarks, door to store and FHIR API: JSON and readable tables; BENCH_PATIENTS="1000 4000 16000" for more
	$(BIN)/python -m benchmarks.access
	$(BIN)/python -m benchmarks.spine
	$(BIN)/python -m benchmarks.api --patients $(or $(BENCH_PATIENTS),1000 4000)

bench-peer: setup ## the FHIR API beside HAPI FHIR JPA in one run (Java 17, Maven); BENCH_PATIENTS=1000 for more than 400
	$(BIN)/python -m benchmarks.peer --patients $(or $(BENCH_PATIENTS),400)

faults: setup ## the long kill tests: 20,000 messages, both backbones
	$(BIN)/python -m pytest -m slow tests/faults

corpus: setup ## third-party messages, resources, queries and scenarios: adapters, $$validate beside HAPI's validator, the API
	$(BIN)/python -m pytest -s -m "slow or corpus" tests/feeds tests/conformance tests/others

samples: setup ## write the golden pairs anew; review the diff
	REWRITE_SAMPLES=1 $(BIN)/python -m pytest -q tests/feeds -k samples

docs: setup ## write docs/reference anew from the code
	$(BIN)/python tools/make_reference.py

clean: ## remove what the verbs above made
	rm -rf .venv build data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/kafka/target benchmarks/peer/target
