# Everything here sets up what it needs, once: Python 3.11 to 3.13 and make are enough.

# The first Python that will do; looked for only when the environment is made.
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
	$(shell command -v $(python) >/dev/null 2>&1 && $(python) -c '$(SUITS)' 2>/dev/null && echo $(python))) python3)
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
VENV ?= .venv
MODEL ?=
WORKERS ?= 2
IN := $(VENV)/bin
READY := $(VENV)/.ready
LOWEST := $(VENV)-lowest
FOR_TESTS := fastapi uvicorn pyyaml opentelemetry-sdk hypothesis \
	pytest pytest-asyncio pytest-mock pytest-timeout pytest-xdist

.PHONY: help demo test test-long test-upstream test-lowest lint format eval clean

help:
	@echo "make demo           watch an agent learn from one person and help another"
	@echo "make test           run the tests"
	@echo "make test-long      run all tests, also those that take their time"
	@echo "make test-upstream  run LangGraph's own store tests on our store"
	@echo "make test-lowest    run the tests with the oldest versions of what the package depends on"
	@echo "make lint           check style, types and the direction of imports"
	@echo "make format         put the code into shape"
	@echo "make eval MODEL=…   measure what a model learns from our conversations"
	@echo "make clean          remove the environment and all caches"
	@echo "PYTHON=python3.12 chooses a Python, DATABASE_URL=… a Postgres with pgvector of your own,"
	@echo "WORKERS=4 the number of processes that run the tests (2 unless told; each starts a Postgres of its own)."

demo: $(READY)
	@echo "==> Running examples/three_sessions.py"
	@$(IN)/python examples/three_sessions.py

test: $(READY)
	@echo "==> Running the tests, on a real Postgres"
	@$(IN)/python -m pytest -m "not long" --numprocesses $(WORKERS) --dist loadfile

test-long: $(READY)
	@echo "==> Running all tests, on a real Postgres"
	@$(IN)/python -m pytest

test-upstream: $(READY)
	@echo "==> Running LangGraph's own tests on our store"
	@$(IN)/python tests/upstream

# Without the tests of the server and of agents of other packages: these are no dependencies, and want newer versions.
# Old versions warn of what has changed since.
test-lowest:
	@echo "==> Installing the oldest versions that pyproject.toml allows"
	@$(PYTHON) -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOWEST)/bin/uv pip compile --quiet --resolution lowest-direct --python $(LOWEST)/bin/python \
		$(addprefix --extra ,cli embedded local otel worker) --output-file $(LOWEST)/lowest.txt pyproject.toml
	@$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --requirement $(LOWEST)/lowest.txt \
		--editable . $(FOR_TESTS)
	@echo "==> Running the tests with them"
	@$(LOWEST)/bin/python -m pytest -m "not long" -W default --ignore tests/server \
		--ignore tests/agent/test_real_agents.py \
		--numprocesses $(WORKERS) --dist loadfile

lint: $(READY)
	@echo "==> Checking style"
	@$(IN)/ruff check .
	@$(IN)/ruff format --check .
	@echo "==> Checking types"
	@$(IN)/mypy
	@echo "==> Checking the direction of imports"
	@$(IN)/lint-imports

format: $(READY)
	@$(IN)/ruff check --fix .
	@$(IN)/ruff format .

eval: $(READY)
	@test -n "$(MODEL)" || { echo "Which model? For example: make eval MODEL=openai:gpt-5-mini"; exit 2; }
	@$(IN)/python -m evals --model "$(MODEL)"

clean:
	rm -rf $(VENV) $(LOWEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c '$(SUITS)' || { \
		echo "This needs Python 3.11, 3.12 or 3.13. Choose one: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "==> Making the environment $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make an environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "==> Installing the package and what its tests need (about a minute)"
	@$(IN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)
