# Two commands do all set-up: `make demo` and `make test`. A second run starts at once.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
PYTEST_ARGS ?= -q -n auto --maxprocesses 4
BIN := .venv/bin
MINISTACK := $(CURDIR)/.venvs/ministack/bin/ministack

export WINDLASS_TEST_MINISTACK ?= $(MINISTACK)
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all tests soak bench bench-full lint types format build picture lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: .venv/.runtime ## watch a team of agents work through a plan
	@$(BIN)/windlass demo

test: .venv/.dev .venvs/ministack/.done ## lint, types and all tests
	@failed=; \
	$(MAKE) --no-print-directory lint || failed="$$failed lint"; \
	$(MAKE) --no-print-directory types || failed="$$failed types"; \
	$(MAKE) --no-print-directory tests || failed="$$failed tests"; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

tests: .venv/.dev .venvs/ministack/.done ## the tests alone; PYTEST_ARGS="tests/ops -x" chooses
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

soak: .venv/.dev .venvs/ministack/.done .venvs/fuzz/.done ## the long reliability programme; writes docs/reliability.md; SOAK="simulation" chooses
	@$(BIN)/python -m tools.soak $(SOAK)

bench: .venvs/bench/.done .venvs/tracecraft/.done .venvs/rclone/.done .venvs/ministack/.done ## benchmarks beside tracecraft, the quick form; BENCH="mail next" chooses
	@.venvs/bench/bin/python -m benchmarks $(BENCH)

bench-full: .venvs/bench/.done .venvs/tracecraft/.done .venvs/rclone/.done .venvs/ministack/.done ## the full form; writes docs/benchmarks.md and its plots
	@.venvs/bench/bin/python -m benchmarks --full $(BENCH)

lint: .venv/.dev ## ruff: rules and format
	@$(BIN)/ruff check --quiet --output-format concise && $(BIN)/ruff format --check --quiet && echo "lint: clean"

types: .venv/.dev ## mypy --strict
	@$(BIN)/mypy

format: .venv/.dev ## let ruff mend and format
	@$(BIN)/ruff check --fix --quiet; $(BIN)/ruff format

test-all: .venvs/ministack/.done ## the tests on every Python found, 3.11 to 3.13
	@failed=; for v in 3.11 3.12 3.13; do \
	    if python$$v -c '' 2>/dev/null; then \
	        echo "Python $$v"; \
	        $(MAKE) --no-print-directory .venvs/py$$v/.dev && .venvs/py$$v/bin/python -m pytest $(PYTEST_ARGS) || failed="$$failed $$v"; \
	    else echo "Python $$v: not found, skipped"; fi; \
	done; test -z "$$failed" || { echo "failed on:$$failed" >&2; exit 1; }

build: .venv/.dev ## wheel and sdist, proved in an empty environment
	@rm -rf dist .venvs/wheel
	@$(BIN)/python -m build --no-isolation --outdir dist . >.venv/build.log 2>&1 || { cat .venv/build.log >&2; exit 1; }
	@tools/venv $(BIN)/python .venvs/wheel -r requirements/runtime.txt
	@tools/venv $(BIN)/python .venvs/wheel --no-deps dist/*.whl
	@cd .venvs/wheel && bin/windlass --version && ls -1 ../../dist

picture: .venv/.dev ## docs/demo.svg, from the demo itself
	@$(BIN)/python tools/picture.py docs/demo.svg

lock: .venvs/lock/.done ## resolve requirements/*.txt anew
	@$(LOCK) pyproject.toml -o requirements/runtime.txt
	@$(LOCK) --group build -o requirements/build.txt
	@$(LOCK) --group dev -c requirements/runtime.txt -c requirements/build.txt -o requirements/dev.txt
	@$(LOCK) --group ministack -o requirements/ministack.txt
	@$(LOCK) --group tracecraft -o requirements/tracecraft.txt
	@$(LOCK) --group rclone -o requirements/rclone.txt
	@$(LOCK) --group plots -c requirements/dev.txt -o requirements/plots.txt
	@$(LOCK) --group fuzz -o requirements/fuzz.txt

LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" .venvs/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url

clean: ## remove every environment, build and cache
	@rm -rf .venv .venv.log .venvs dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The build backend is installed beside the runtime so that everything that is fetched is locked by hash.
.venv/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml
	@echo "Preparing .venv …"
	@tools/venv "$(PYTHON)" .venv -r requirements/runtime.txt -r requirements/build.txt
	@tools/venv "$(PYTHON)" .venv --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.txt
	@echo "Adding the tools for tests …"
	@tools/venv "$(PYTHON)" .venv -r requirements/dev.txt
	@touch $@

.venvs/py%/.dev: requirements/runtime.txt requirements/build.txt requirements/dev.txt pyproject.toml
	@tools/venv python$* .venvs/py$* -r requirements/runtime.txt -r requirements/build.txt -r requirements/dev.txt
	@tools/venv python$* .venvs/py$* --no-deps --no-build-isolation -e .
	@touch $@

.venvs/ministack/.done: requirements/ministack.txt
	@echo "Preparing an S3 server for the tests …"
	@tools/venv "$(PYTHON)" .venvs/ministack -r $<
	@touch $@

.venvs/tracecraft/.done: requirements/tracecraft.txt
	@echo "Preparing tracecraft, to compare with …"
	@tools/venv "$(PYTHON)" .venvs/tracecraft -r $<
	@touch $@

.venvs/rclone/.done: requirements/rclone.txt
	@echo "Preparing rclone, to compare with …"
	@tools/venv "$(PYTHON)" .venvs/rclone -r $<
	@touch $@

# What is measured is an installed wheel, as users have it, not the checkout.
.venvs/bench/.done: requirements/runtime.txt requirements/build.txt requirements/plots.txt pyproject.toml $(shell find src -name '*.py')
	@echo "Preparing the benchmarks …"
	@tools/venv "$(PYTHON)" .venvs/bench -r requirements/runtime.txt -r requirements/build.txt -r requirements/plots.txt
	@tools/venv "$(PYTHON)" .venvs/bench --no-deps --no-build-isolation --force-reinstall .
	@touch $@

# Only the coverage-guided part of the fuzzing needs it, which is left out and says so where it does not install.
.venvs/fuzz/.done: requirements/fuzz.txt
	@echo "Preparing a coverage-guided fuzzer …"
	@tools/venv "$(PYTHON)" .venvs/fuzz -r $< || { rm -rf .venvs/fuzz; mkdir -p .venvs/fuzz; }
	@touch $@

.venvs/lock/.done:
	@tools/venv "$(PYTHON)" .venvs/lock uv
	@touch $@
