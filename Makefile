# Everything runs in a project-local environment, .venv, which each target makes for itself.
# Needed on the machine: Python 3.11 or newer, and make. `make` alone prints the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
PIP := $(RUN) -m pip --disable-pip-version-check -qq
# A plain path entry: the finder that setuptools would install costs 10 ms of each start.
EDITABLE := --config-settings editable_mode=compat
# The first of these that is new enough (override: make PYTHON=/path/to/python ...).
PYTHON ?= $(shell for p in python3.11 python3 python3.13 python3.12 python3.14 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
CODE := setup.py pyzk tests scripts $(wildcard conformance)
FAST := not slow and not live and not conformance and not browser
# The core, compiled, in a copy of the package in .build (docs/decisions/0013, scripts/compiled.py).
# COMPILE=no: neither made nor used. (The spellings of scripts/can_compile.py.)
COMPILE ?= yes
SAID = $(shell echo '$(COMPILE)' | tr '[:upper:]' '[:lower:]')
WANTED = $(if $(filter yes 1 true on,$(SAID)),yes,$(if $(filter no 0 false off,$(SAID)),,$(error \
	COMPILE: '$(COMPILE)' is neither yes nor no)))
COMPILED := $(RUN) -m scripts.compiled

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- the environment: made once, and again when pyproject.toml changes

$(RUN):
	@test -n "$(PYTHON)" || { echo "pyzk needs Python 3.11 or newer; none found on PATH" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "PYTHON=$(PYTHON) is no Python 3.11 or newer" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { \
		echo "cannot make $(VENV): on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }

# uvloop only as a wheel: no compiler is ever needed. Without one pyzk runs on plain asyncio.
$(VENV)/.runtime: pyproject.toml | $(RUN)
	@echo "setting up $(VENV) (once, about 15 s, or more if packages are downloaded)" >&2
	@$(PIP) install --only-binary uvloop $(EDITABLE) -e . || { \
		echo "no uvloop wheel for this Python: continuing on plain asyncio" >&2; \
		$(PIP) install 'attrs>=23.1' 'click>=8.1' 'kazoo>=2.10' && $(PIP) install --no-deps $(EDITABLE) -e .; }
	@touch $@

$(VENV)/.test: $(VENV)/.runtime
	@echo "setting up $(VENV) for tests (once)" >&2
	@$(PIP) install --only-binary uvloop $(EDITABLE) -e '.[test]' || { \
		$(PIP) install 'aiohttp>=3.9' 'cryptography>=43.0' 'hypothesis>=6.100' \
			'prometheus_client>=0.20' 'pure-sasl>=0.6' 'pytest>=8.0' \
			'pytest-xdist>=3.5' 'trustme>=1.1'; }
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	@echo "setting up $(VENV) for development (once)" >&2
	@$(PIP) install --only-binary uvloop $(EDITABLE) -e '.[dev]'
	@touch $@

.PHONY: setup
setup: $(VENV)/.dev ## make the project-local environment .venv (other targets do it by themselves)

# ---- running

# At once, in the form that is there: if that is the source, a process beside the server, that ends
# with it, compiles the core for the next start.
.PHONY: serve
serve: $(VENV)/.runtime ## serve on 127.0.0.1:2181, data in ./pyzk-data (options: make serve ARGS="--port 0")
	@exec $(if $(WANTED),$(COMPILED) serve) $(BIN)/pyzk serve $(ARGS)

# Not in .runtime: a server without it starts faster, and has one port less.
$(VENV)/.admin: $(VENV)/.runtime
	@echo "adding the admin server to $(VENV) (once)" >&2
	@$(PIP) install --only-binary uvloop $(EDITABLE) -e '.[admin]' || \
		$(PIP) install 'aiohttp>=3.9' 'prometheus_client>=0.20'
	@touch $@

.PHONY: admin
admin: $(VENV)/.admin ## add the admin server (metrics, health, console: port 8080) for make serve: make admin serve

.PHONY: compile
compile: $(VENV)/.runtime ## compile the core now, one to three minutes (C compiler needed; once for each change)
	@$(COMPILED) now

.PHONY: wheels
wheels: $(VENV)/.runtime ## build wheels with the compiled core for the Pythons of this machine, in dist/, and try them (ARGS="PYTHON...")
	@$(RUN) -m scripts.wheels $(ARGS)

# ---- tests

# Byte code is kept in any case: many tests start a Python of their own.
PYTEST := env PYTHONDONTWRITEBYTECODE= $(RUN) -m pytest -q
# A process for each core; but one if ARGS say which tests, for that starts sooner, and shows after
# a minute where a test hangs (a thread for each test, that the many do without).
PARALLEL := $(if $(ARGS),,-n auto --dist worksteal -o faulthandler_timeout=0)

.PHONY: test
test: $(VENV)/.test ## the fast tests, one to two minutes on two cores (options: make test ARGS="-k session")
	@$(PYTEST) $(PARALLEL) -m "$(FAST)" $(ARGS)

# Keeps pictures of what it saw, and what it measured, in .build/screenshots.
.PHONY: browser-test
browser-test: $(VENV)/.test ## the console in a headless Chromium (Debian: apt-get install chromium-driver)
	@$(PIP) install 'selenium>=4.20' || echo "selenium cannot be installed"
	@$(PYTEST) -m browser -o faulthandler_timeout=0 $(ARGS) tests/browser
	@cat .build/screenshots/figures.txt 2>/dev/null || true

# (pytest's 5: there is none.)
.PHONY: test-slow
test-slow: $(VENV)/.test ## the tests that `make test` leaves out: slow ones, real processes and sockets
	@$(PYTEST) -m "(slow or live) and not conformance" $(ARGS) || [ $$? -eq 5 ]

.PHONY: test-compiled
# (pytest's own pythonpath would put the source in front.)
test-compiled: $(VENV)/.test compile ## the fast tests on the compiled core
	@env PYZK_TEST_COMPILED=1 $(COMPILED) run \
		$(PYTEST) $(PARALLEL) -o pythonpath= -m "$(FAST) and not source" $(ARGS)

.PHONY: rewrite
rewrite: $(VENV)/.test ## write anew what the transcripts print (tests/transcripts); read the difference
	@env PYZK_REWRITE=1 $(PYTEST) tests/test_transcripts.py $(ARGS)

.PHONY: test-all
test-all: $(VENV)/.test ## all tests that need no Java
	@$(PYTEST) -m "not conformance and not browser" $(ARGS)

# SEED=n traces one; without SEED or SEEDS a random one runs, and is named.
.PHONY: sim
sim: $(VENV)/.test ## simulate ensembles from seeds: make sim SEEDS=200, make sim SEED=123 ARGS=-v
	@$(RUN) -m pyzk.sim $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

.PHONY: coverage
coverage: $(VENV)/.dev ## branch coverage of the fast tests
	@$(RUN) -m coverage run -m pytest -q -m "$(FAST)" $(ARGS)
	@$(RUN) -m coverage report

# ---- static checks

.PHONY: check
check: static test ## everything that must hold before a commit: format, lint, types, generated files, tests

.PHONY: static
static: fmt-check lint types generated ## the checks that run no test

.PHONY: fmt
fmt: $(VENV)/.dev ## format the code, sort imports, apply safe fixes
	@$(BIN)/ruff check -q --fix-only $(CODE)
	@$(BIN)/ruff format -q $(CODE)

.PHONY: fmt-check
fmt-check: $(VENV)/.dev ## fail if `make fmt` would change the format
	@$(BIN)/ruff format --check $(CODE)

.PHONY: lint
lint: $(VENV)/.dev ## ruff
	@$(BIN)/ruff check $(CODE)

.PHONY: types
types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy $(CODE)

.PHONY: generate
generate: $(VENV)/.runtime ## write the generated files again
	@$(RUN) -m scripts.gen_jute
	@$(RUN) -m scripts.gen_packing
	@$(RUN) -m scripts.gen_config_table
	@$(RUN) -m scripts.gen_dashboard
	@$(RUN) -m scripts.gen_word_table
	@$(RUN) -m scripts.gen_admin_table
	@$(RUN) -m scripts.gen_zab
	@$(RUN) -m scripts.gen_metrics_table

.PHONY: generated
generated: $(VENV)/.runtime ## fail if a generated file differs from what its generator writes
	@$(RUN) -m scripts.gen_jute --check
	@$(RUN) -m scripts.gen_packing --check
	@$(RUN) -m scripts.gen_config_table --check
	@$(RUN) -m scripts.gen_dashboard --check
	@$(RUN) -m scripts.gen_word_table --check
	@$(RUN) -m scripts.gen_admin_table --check
	@$(RUN) -m scripts.gen_zab --check
	@$(RUN) -m scripts.gen_metrics_table --check

# ---- beside the original (PYZK_ORACLE names the directory of its jars; skipped aloud without Java)

.PHONY: conformance
conformance: $(VENV)/.test ## compare with a real ZooKeeper, command by command, and replay its recorded answers
	@$(RUN) -m conformance.run $(ARGS)

.PHONY: mixed
mixed: $(VENV)/.test ## ensembles of pyzk and Apache ZooKeeper in every mixture (options: make mixed ARGS="--only NAME")
	@$(RUN) -m conformance.mixed $(ARGS)

.PHONY: prometheus
prometheus: $(VENV)/.test ## Debian's Prometheus scrapes a live ensemble (skipped aloud where there is none)
	@$(RUN) -m conformance.prometheus $(ARGS)

.PHONY: migration
migration: $(VENV)/.test ## a live ensemble of Apache ZooKeeper becomes one of pyzk, and goes back, in both ways
	@$(RUN) -m conformance.mixed.migration $(ARGS)
	@$(RUN) -m conformance.mixed.migration_by_reconfig $(ARGS)

.PHONY: kazoo-suite
kazoo-suite: $(VENV)/.test ## kazoo's own test suite, unmodified, on clusters of pyzk
	@$(RUN) -m conformance.kazoo_suite $(ARGS)

.PHONY: oracle
oracle: $(VENV)/.test ## install the original servers to compare with (Debian, as root; 3.9 from a Python package)
	@$(RUN) -m conformance.oracle install

.PHONY: acceptance
acceptance: $(VENV)/.test ## drive pyzk with zkCli.sh 3.8 and 3.9, cli_mt, kazoo and Curator
	@$(RUN) -m conformance.acceptance $(ARGS)

.PHONY: kill9
kill9: $(VENV)/.test ## kill -9 during writes, many rounds: nothing acknowledged may be missing
	@$(RUN) -m conformance.durability $(ARGS)

.PHONY: ensemble-faults
ensemble-faults: $(VENV)/.test ## 100 faults on three members under load: every answer must fit one history
	@$(RUN) -m conformance.ensemble_faults $(ARGS)

.PHONY: ensemble-load
ensemble-load: $(VENV)/.test ## 200 MB of writes at once: each answered, the same leader, memory bounded (options: ARGS="--only stopped")
	@$(RUN) -m conformance.ensemble_load $(ARGS)

.PHONY: bench
bench: $(VENV)/.test $(if $(WANTED),compile) ## measure beside ZooKeeper and the physical limit, alternating (needs Linux and gcc; Java for the comparison)
	@exec $(if $(WANTED),$(COMPILED) run) $(RUN) -m scripts.bench.zk $(ARGS)

.PHONY: bench-loads
bench-loads: $(VENV)/.test $(if $(WANTED),compile) ## measure other loads beside ZooKeeper: sessions, watches, multi, a million znodes, starts (ARGS=--quick: minutes)
	@exec $(if $(WANTED),$(COMPILED) run) $(RUN) -m scripts.bench.loads $(ARGS)

.PHONY: bench-stages
bench-stages: $(VENV)/.test $(if $(WANTED),compile) ## measure where a request's processor time goes, the kernel's included (needs Linux, gcc and perf)
	@exec $(if $(WANTED),$(COMPILED) run) $(RUN) -m scripts.bench.stages $(ARGS)

.PHONY: bench-ensemble
bench-ensemble: $(VENV)/.test $(if $(WANTED),compile) ## measure three members beside three of ZooKeeper, and the outage when the leader is killed
	@exec $(if $(WANTED),$(COMPILED) run) $(RUN) -m scripts.bench.ensemble $(ARGS)

.PHONY: bench-fixture
bench-fixture: $(VENV)/.test ## measure what a test waits for a server: pyzk, ZooKeeper, Curator's TestingServer (the latter need Java)
	@$(RUN) -m scripts.bench.fixture $(ARGS)

# A count, unlike a time, does not depend on the machine's mood.
.PHONY: bench-core
bench-core: $(VENV)/.test $(if $(WANTED),compile) ## count the instructions of each operation, and compare with the bounds (needs valgrind; new bounds: ARGS=--record)
	@$(RUN) -m scripts.bench.core $(ARGS)

# ---- the rest

.PHONY: changelog
changelog: $(VENV)/.runtime ## join changelog.d/ into CHANGELOG.md (make changelog VERSION=0.2.0)
	@$(RUN) -m scripts.changelog $(VERSION)

.PHONY: clean
clean: ## remove the environment and all caches (never ./pyzk-data)
	rm -rf $(VENV) .build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov build dist *.egg-info
	find pyzk tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
