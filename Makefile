# Every target works on a bare machine with Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests mostly wait: three at once take a third of the time on two cores, and 0.5 GB each for a broker of their own.
WORKERS ?= 3
SEEDS ?= 10000
FIRST ?= 0
KILLS ?= 100
SEED ?= 1
EVENTS ?= 100000
INPUTS ?= 1000000
BENCH ?=
ROUNDS ?= 5
MINUTES ?= 60

.PHONY: help demo test faults simulate chaos soak fuzz bench check format lock clean

help:
	@echo "make demo     set up, start the system, run a real plan to the end and check the outcome"
	@echo "make test     run the tests against the real broker and engine"
	@echo "make faults   run the tests that take minutes each: networks, disks, clocks, retention, upgrades, large records"
	@echo "make simulate run the kernel in SEEDS=10000 simulated worlds full of faults"
	@echo "make chaos    kill processes of a whole system at random while it works: KILLS=100 SEED=1 EVENTS=100000"
	@echo "make soak     let a whole system work for MINUTES=60 and look whether anything grows"
	@echo "make fuzz     send INPUTS=1000000 hostile bytes, messages and plan files"
	@echo "make bench    measure beside peers on the same work: BENCH=kernel ROUNDS=5"
	@echo "make check    format, lint, types, layers, schemas"
	@echo "make format   apply the formatter and the safe lint fixes"
	@echo "make clean    remove the virtual environment and caches"

# One stamp for the whole set-up: pinned packages by hash, then this project in place.
$(VENV)/.installed: requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Neural Hive needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Set PYTHON=python3.11")'
	@echo "Setting up $(VENV), once: $$(grep -c == requirements-dev.lock) packages, about 1.4 GB on disk. That takes minutes."
	@$(PYTHON) -m venv $(VENV)
	@echo "  a dot for every ten packages that are fetched and checked, then installed:"
	@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements-dev.lock \
		|| touch $(VENV)/.failed; } | awk '/^Collecting/ {if (++n % 10 == 0) {printf "."; fflush()}} \
		/^Installing/ {printf " fetched, installing …"; fflush()} /^Successfully/ {print " done"} /^ERROR/ {print}'
	@! rm $(VENV)/.failed 2>/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/neural-hive demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not long and not alone" $(ARGS)
	$(BIN)/python -m pytest -m alone $(ARGS) || [ $$? -eq 5 ]

faults: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m long $(ARGS)

simulate: $(VENV)/.installed
	$(BIN)/python -m tests.simulation.run $(SEEDS) $(FIRST)

chaos: $(VENV)/.installed
	$(BIN)/python -m tests.chaos.run --kills $(KILLS) --seed $(SEED) --events $(EVENTS) $(ARGS)

soak: $(VENV)/.installed
	$(BIN)/python -m tests.soak.run --minutes $(MINUTES) $(ARGS)

fuzz: $(VENV)/.installed
	$(BIN)/python -m tests.hostile.run $(INPUTS) $(FIRST)

# Peers have an environment of their own: their pins and ours exclude each other.
$(VENV)-bench/.installed: bench/peers/requirements.lock
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bench/peers/requirements.lock
	touch $@

bench: $(VENV)/.installed $(VENV)-bench/.installed
	$(BIN)/python -m bench.run $(BENCH) --rounds $(ROUNDS) --keep docs/measured $(ARGS)

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m neural_hive.schemas.freeze --check

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Pins every package with its hashes; run after a change of the dependencies in pyproject.toml.
lock:
	$(BIN)/uv pip compile --quiet --custom-compile-command "make lock" --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --custom-compile-command "make lock" --universal --generate-hashes --no-emit-index-url --python-version 3.11 --extra dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --custom-compile-command "make lock" --universal --generate-hashes --no-emit-index-url --python-version 3.11 bench/peers/requirements.in -o bench/peers/requirements.lock

clean:
	rm -rf $(VENV) $(VENV)-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
