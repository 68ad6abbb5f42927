# make demo; make test, and make deep before handing in; make quick is the inner loop. All set up .venv first.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
export FLWR_TELEMETRY_ENABLED := 0
export RAY_USAGE_STATS_ENABLED := 0
# A worker a core and one more, for many tests wait; a file after the other, in the order of
# tests/support/dearest.py. (nproc counts threads of OpenMP where they are limited, as below.)
WORKERS := -n $(shell expr $$(env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2) + 1) --dist loadfile --no-loadscope-reorder
# What is compiled is kept, whatever a container's image says: tests start hundreds of interpreters.
unexport PYTHONDONTWRITEBYTECODE
# Tests run one a core; threads of their own would only wait for one another.
test suite deep quick soak faults worlds test-flower: export OMP_NUM_THREADS := 1
test suite deep quick soak faults worlds test-flower: export OPENBLAS_NUM_THREADS := 1

.PHONY: demo test suite deep quick check lint types structure wheel bundle try-bundle try-machines soak faults worlds test-flower browser bench-setup gpu-check postgresql nginx clean

demo: $(VENV)/.run
	$(BIN)/silosynth demo --out demo-out --force

# Types are read beside the tests: it takes a minute of one core.
test: $(VENV)/.dev browser postgresql nginx lint
	$(MAKE) --no-print-directory -j 2 suite types

# DEPTH=--all walks the matrices whole in the same session, as CI does.
suite: $(VENV)/.dev
	$(BIN)/python -m pytest $(WORKERS) $(DEPTH)

check: test

# The matrices that make test runs a few cells of: all of their other cells; and the wheel.
deep: $(VENV)/.dev browser postgresql nginx
	$(BIN)/python -m pytest $(WORKERS) --deep
	$(MAKE) --no-print-directory wheel

# The inner loop: all but whole runs, processes, browsers and servers.
quick: lint types
	$(BIN)/python -m pytest $(WORKERS) --quick

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/python tests/structure.py --print

# How the tree is built, beside what it should be; writes the picture of the rooms into README.
structure: $(VENV)/.dev
	$(BIN)/python tests/structure.py

# The tests that hold for what is shipped run once more against the wheel, from another directory.
wheel: $(VENV)/.dev
	$(BIN)/python tests/check_wheel.py

# One archive for machines without a network: wheels with hashes, documents, units, charts. It fits
# machines with this Python and this kind of system. try-bundle installs it where there is no network.
bundle: $(VENV)/.dev
	$(BIN)/python deploy/bundle/make.py dist

try-bundle: bundle
	$(BIN)/python tests/deploy/try_bundle.py $$(ls -t dist/silosynth-*.tar | head -1)

# What docs/how-to/machines.md says, from the bundle, on machines of their own (root, namespaces).
try-machines: bundle
	$(BIN)/python -m tests.deploy.try_machines $$(ls -t dist/silosynth-*.tar | head -1)

# SOAK=n kills n processes (1,000); FLOWER=1 runs them over SuperLink, SuperNodes and relays as well;
# SHARED=1 lets the silos sum in secret.
soak: $(VENV)/.dev
	$(BIN)/python -m tests.processes.soak

# Every kind of request to Flower meets every fault of a network, in 17 rounds.
faults: $(VENV)/.dev
	FAULT_ROUNDS=$(or $(ROUNDS),17) $(BIN)/python -m pytest -s tests/processes/test_faulty_link.py

# Scenarios in real time, over Flower and processes: all of them, and silos on two nodes of Ray.
worlds: $(VENV)/.dev
	WORLDS=all $(BIN)/python -m pytest --all tests/simulations/real_time

# What stands on Flower, over real processes too, with another version of it: FLWR=1.41 or 1.42.
FLWR ?= 1.42
FLOWER := $(CURDIR)/$(VENV)/flower-$(FLWR)
FLOWER_TESTS ?= tests/common/flower/test_flower.py \
	tests/client/relay/test_relay.py tests/client/relay/test_supernode.py tests/client/relay/test_pushing.py \
	tests/simulations/test_flower.py tests/server/federation/test_grid.py tests/server/federation/test_channel.py \
	tests/server/federation/test_channel_faults.py tests/simulations/test_cluster.py \
	tests/processes/test_federation.py
test-flower: $(VENV)/.dev
	$(PIP) install --no-deps --upgrade --target $(FLOWER) "flwr==$(FLWR).*"
	PYTHONPATH=$(FLOWER) $(BIN)/python -c 'import flwr; assert flwr.__version__.startswith("$(FLWR).")'
	PYTHONPATH=$(FLOWER) $(BIN)/python -m pytest -n 0 --all $(FLOWER_TESTS)

bench-%: $(VENV)/.dev
	$(BIN)/python -m bench $*

# What a GPU must do as a processor does, in ten minutes at most; SMALL=1 is a dry run without one.
gpu-check: $(VENV)/.dev
	timeout 600 $(BIN)/python -m bench.gpu $(if $(SMALL),--small)

bench-setup: $(VENV)/.dev
	$(BIN)/python -m bench.peers.setup

browser:
	@command -v chromium >/dev/null || { \
		run=$$([ $$(id -u) = 0 ] || echo sudo); \
		$$run apt-get update -q && $$run apt-get install -q -y --no-install-recommends chromium; }

# A server of their own is started by the tests; Debian's package brings the programs.
postgresql:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
		run=$$([ $$(id -u) = 0 ] || echo sudo); \
		$$run apt-get update -q && $$run apt-get install -q -y --no-install-recommends postgresql; }

# The tests run nginx with the file that is shipped; nothing of the system's own is started.
nginx:
	@command -v nginx >/dev/null || ls /usr/sbin/nginx >/dev/null 2>&1 || { \
		run=$$([ $$(id -u) = 0 ] || echo sudo); \
		$$run apt-get update -q && $$run apt-get install -q -y --no-install-recommends nginx-light; }

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11, 3.12 or 3.13 is needed; put one on the PATH"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e ".[coordinator,silo,simulation]"
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e ".[coordinator,silo,silo-cluster,silo-sql,simulation,generators,pretrained,check,dev]"
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build dist demo-out *.egg-info
