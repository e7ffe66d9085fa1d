# Two commands do all the set-up: `make demo` and `make test`.
VENV := $(or $(STEMLINE_VENV),.venv)
BIN := $(VENV)/bin
export STEMLINE_VENV := $(VENV)

.PHONY: help demo test smoke test-all soak test-hosts check docs bench release audit setup format proto clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

demo: setup ## separate the example edit into out/demo
	$(BIN)/stemline batch examples/interview/edit.otio --stem dialogue=speech -o out/demo
	@echo "The edit with its stems: out/demo/edit.stems.otio"
	@echo "The report:              out/demo/report.html"

test: setup ## run every test that needs neither minutes nor a heavy host program
	$(BIN)/python -m pytest -m "not host and not slow and not hour" $(PYTEST_ARGS)

smoke: setup ## run a few tests of each package, in under a minute
	$(BIN)/python -m pytest -m smoke $(PYTEST_ARGS)

test-all: setup ## run the slow tests too; do this before you close an issue
	$(BIN)/python -m pytest -m "not host and not hour" $(PYTEST_ARGS)

soak: setup ## run every test of load, kills and faults of servers in full length, and all others that take many minutes
	$(BIN)/python -m pytest -m "(soak or hour) and not host" $(PYTEST_ARGS)

test-hosts: setup ## run the tests with real Blenders, fetched if missing (2 GB)
	scripts/host-envs.sh 3.4 4.5 5.0
	$(BIN)/python -m pytest -m host $(PYTEST_ARGS)

check: setup ## check lint, format, types, layers, words, generated files and documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	scripts/lint-imports.sh
	$(BIN)/python scripts/check_words.py
	scripts/proto.sh --check
	scripts/docs.sh

docs: setup ## build the documentation into out/site
	scripts/docs.sh
	@echo "Open out/site/index.html"

bench: setup ## print every benchmark's ratio against its baseline
	$(BIN)/python -m tests.benchmarks

setup:
	@scripts/setup.sh

release: setup ## build wheel, sdist, bill of materials and hashes into out/release
	$(BIN)/python -m pip install -q --disable-pip-version-check --constraint constraints.txt ".[release]"
	scripts/release.sh

audit: setup ## check the pinned dependencies for known vulnerabilities
	$(BIN)/python -m pip install -q --disable-pip-version-check --constraint constraints.txt ".[release]"
	$(BIN)/python scripts/audit.py

format: setup ## fix lint and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: ## generate the gRPC stubs
	scripts/proto.sh

clean: ## remove outputs and caches of tools
	rm -rf out .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
