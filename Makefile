# Two commands do all the set-up: `make demo` and `make test`.
VENV := $(or $(STEMLINE_VENV),.venv)
BIN := $(VENV)/bin
export STEMLINE_VENV := $(VENV)

.PHONY: demo test check bench test-hosts setup format proto clean

demo: setup ## separates the example edit into out/demo
	$(BIN)/stemline batch examples/interview/edit.otio --stem dialogue=speech -o out/demo
	@echo "The edit with its stems: out/demo/edit.stems.otio"
	@echo "The report:              out/demo/report.html"

test: setup ## runs every test that needs no heavy host program and no quarter of an hour
	$(BIN)/python -m pytest -m "not host and not hour" $(PYTEST_ARGS)

check: setup ## lint, format, types, layers, stubs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	scripts/lint-imports.sh
	scripts/proto.sh --check

bench: setup ## prints every benchmark's ratio against its baseline
	$(BIN)/python -m tests.benchmarks

test-hosts: setup ## tests with real host programs, fetched where they are missing (2 GB)
	scripts/host-envs.sh 3.4 4.5 5.0
	$(BIN)/python -m pytest -m "host or hour" $(PYTEST_ARGS)

setup:
	@scripts/setup.sh

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto:
	scripts/proto.sh

clean:
	rm -rf out .pytest_cache .mypy_cache .ruff_cache .hypothesis
