# Reelgate. `make demo` shows it; `make test` checks everything. Both make their own .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint map soak audit clean constraints

# From nothing to a running gateway with a sample camera, a looping channel and something to watch.
demo: $(VENV)/ready
	@exec $(BIN)/python -m gateway demo

# Format, lint, types, import contracts, tests. As root it installs the Debian packages that the tests need.
# Three at a time, for two cores: most tests of media wait for real time to pass. A file's tests stay together, with
# its fixtures.
test: $(VENV)/ready
	@sh tests/debian.sh
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n 3 --dist loadfile

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive gateway media

# Draws the picture of the rooms anew from the code.
map: $(VENV)/ready
	$(BIN)/python -m tests.rooms

# The full forms of what `make test` runs shortened: takes long.
soak: $(VENV)/ready
	@sh tests/debian.sh
	REELGATE_SOAK=1 $(BIN)/python -m pytest -m soak --timeout 3600

$(VENV)/ready: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

# Pins every dependency with hashes and no addresses; needs uv.
constraints:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet --output-file constraints.txt

# Asks the advisory databases about every pinned dependency; needs the network, and fails when one cannot be asked about.
audit:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.9,<3"
	$(VENV)-audit/bin/pip-audit --strict --require-hashes --disable-pip -r constraints.txt

clean:
	rm -rf $(VENV) $(VENV)-audit .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
