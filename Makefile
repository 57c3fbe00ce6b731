# Every target sets up what it needs, so each can be the first command on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
COMPILE := uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --universal --python-version 3.11 --quiet

.PHONY: install install-dev demo test check bench soak lint docs lock clean
install: $(RUN_STAMP)
install-dev: $(DEV_STAMP)

# --no-compile: what is never imported is never compiled, and the first rows of the demo come sooner.
$(RUN_STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Quanyu needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

$(DEV_STAMP): $(RUN_STAMP) requirements-dev.lock
	$(PIP) --no-compile --require-hashes -r requirements-dev.lock
	touch $@

demo: install
	$(BIN)/quanyu demo

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest tests -n 2 -m "not servers and not shared"

# Real servers (Kafka from Maven Central: Java 17 and Maven; Prometheus from Debian; ClickHouse's engine behind HTTP)
# and the evaluation data that lies beside a developer's clone.
check: install-dev
	$(MAKE) -C tests/servers kafka prometheus
	$(BIN)/python -m pytest tests -m "servers or shared"

# Figures, each with its goal; on a quiet machine.
bench: install-dev
	$(MAKE) -C tests/servers kafka
	$(BIN)/python -m bench.join
	$(BIN)/python -m bench.replay
	$(BIN)/python -m bench.live
	$(BIN)/python -m bench.live --apart
	$(BIN)/python -m bench.restart
	$(BIN)/python -m bench.snapshots
	$(BIN)/python -m bench.latency

# Long runs: ten times the events in the same memory; half an hour of live in the same memory; faults over and over (an
# hour and a half).
soak: install-dev
	$(MAKE) -C tests/servers kafka
	$(BIN)/python -m bench.replay --memory
	$(BIN)/python -m bench.steady
	QUANYU_FAULTS=long $(BIN)/python -m pytest tests/faults

# The reference pages and the JSON Schemas, made of the code.
docs: install-dev
	$(BIN)/python -m schemas.export
	$(BIN)/python -m streams.reference

# Pin the newest versions that pyproject.toml allows (needs uv on the PATH). No index address gets into the files.
lock:
	$(COMPILE) --upgrade --group dev -o requirements-dev.lock
	rm -f requirements.lock
	$(COMPILE) --group build -c requirements-dev.lock -o requirements.lock

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
