# make run   sets everything up, then trains and evaluates a policy with GiGPO
# make test  sets everything up, then runs the tests that need one process
# make help  lists the rest

PYTHON ?= python3.11
VENV ?= .venv
RUN ?= runs/quick
FLAGS ?=
# Passed to pytest, such as TESTS="tests/algorithms -k gigpo".
TESTS ?=
WORKERS ?= 2
# More options of pytest, such as PYTEST="--durations=30".
PYTEST ?=

# Temporary arrays in huge pages: page faults cost a CPU a quarter of its time.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
PROCEDURAL = $(VENV)/.procedural
CONTROL = $(VENV)/.control
DOCS = $(VENV)/.docs
TORCH_VENV = .venv-torch
TORCH_STAMP = $(TORCH_VENV)/.installed

.PHONY: help run test test-system test-slow test-newer test-torch test-tunix lint format lock clean report procedural control docs

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# uv is installed by pip from a hashed file; it installs the rest, likewise.
$(STAMP): requirements/python3.11.txt requirements/uv.txt setup.cfg pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not installed; install Python 3.11, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: $(PYTHON) is not Python 3.11 (requirements for 3.12 and 3.13 are in requirements/)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/python3.11.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $(STAMP)

# Parts of reasoning-gym are compiled here; without a C compiler, and the
# headers of Python, the tests of its tasks are skipped, and say so.
$(PROCEDURAL): $(STAMP) requirements/procedural.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --require-hashes -r requirements/procedural.txt \
	  || echo "note: reasoning-gym could not be installed (it needs a C compiler); its tests are skipped"
	touch $(PROCEDURAL)

procedural: $(PROCEDURAL) ## reasoning-gym, for experiments.tempo (needs a C compiler)

# Where it cannot be installed, the tests of its tasks are skipped, and say so.
$(CONTROL): $(STAMP) requirements/control.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/control.txt \
	  || echo "note: jaxmarl, MuJoCo and brax could not be installed; the tests of tasks of control are skipped"
	touch $(CONTROL)

control: $(CONTROL) ## jaxmarl, MuJoCo and brax, for experiments.lare

$(DOCS): $(STAMP) requirements/docs.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/docs.txt
	touch $(DOCS)

docs: $(DOCS) ## the documentation, with the API reference, in docs/_build
	JAX_PLATFORMS=cpu $(BIN)/python -m sphinx --fail-on-warning --keep-going -q -b html docs docs/_build
	@echo 'docs/_build/index.html'

run: $(STAMP) ## train and evaluate; RUN=folder, FLAGS="--iterations=5 ..."
	$(BIN)/python -m experiments.gigpo --flagfile=experiments/flagfiles/gigpo/quick.cfg --run=$(RUN) $(FLAGS)

report: $(STAMP) ## write table, curves and page of RUN again
	$(BIN)/python -m jaxcredit.reports $(RUN)

# Tests make many small arrays: few heaps of ordinary pages hold less memory.
test test-system: export GLIBC_TUNABLES = glibc.malloc.arena_max=2

test: $(PROCEDURAL) $(CONTROL) ## what runs in one process, in minutes (docs/tests.md)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not slow and not network and not system' $(PYTEST) $(TESTS)

# A file stays with one worker: its tests share runs that take long.
test-system: $(PROCEDURAL) $(CONTROL) ## processes, faults, whole trainings, notebooks
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'system and not slow and not network' $(PYTEST) $(TESTS)

test-slow: $(PROCEDURAL) $(CONTROL) ## the tests marked slow or network
	$(BIN)/python -m pytest -m 'slow or network' $(PYTEST) $(TESTS)

test-newer: $(STAMP) ## algorithms and policies under Python 3.13 or 3.12, whose jax is newer
	BIN=$(BIN) sh requirements/test_newer.sh $(WORKERS)

# torch comes without what it declares, which on Linux is gigabytes of CUDA; the
# rest is in the two files. By pip, which may know of a folder of CPU wheels.
$(TORCH_STAMP): requirements/torch.txt $(STAMP)
	$(PYTHON) -m venv --clear $(TORCH_VENV)
	$(BIN)/uv pip install --quiet --python $(TORCH_VENV)/bin/python --require-hashes -r requirements/python3.11.txt
	$(TORCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/torch.txt \
	  && $(TORCH_VENV)/bin/python -c 'import torch' \
	  || { echo "error: no CPU build of torch was found; that of PyPI needs CUDA on Linux. Name the index of CPU wheels that pytorch.org gives (PIP_EXTRA_INDEX_URL=... make test-torch), or a folder with the wheel (PIP_FIND_LINKS=...)"; exit 1; }
	$(BIN)/uv pip install --quiet --python $(TORCH_VENV)/bin/python --no-deps --no-build-isolation -e .
	touch $(TORCH_STAMP)

test-torch: $(TORCH_STAMP) ## policies against transformers on torch, the slow tests included
	$(TORCH_VENV)/bin/python -m pytest -m torch $(or $(TESTS),tests/networks)

test-tunix: $(STAMP) ## our advantages in Tunix's learner, under Python 3.12
	BIN=$(BIN) sh requirements/test_tunix.sh

lint: $(STAMP) ## formatter and linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(STAMP) ## formats, and mends what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What is installed beside python3.11.txt, without what that has.
BESIDE = $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
  --python-version 3.11 --python-platform x86_64-manylinux_2_28 --constraints requirements/python3.11.txt \
  $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package=\1/p' requirements/python3.11.txt)

lock: $(STAMP) ## pins the newest versions that fit, with hashes
	for version in 3.11 3.12 3.13; do \
	  $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
	    --python-version $$version --python-platform x86_64-manylinux_2_28 \
	    --extra test setup.cfg -o requirements/python$$version.txt; \
	done
	echo 'reasoning-gym>=0.1.25,<0.2' | $(BESIDE) - -o requirements/procedural.txt
	printf '%s\n' 'brax>=0.14.2,<0.15' 'gymnasium[mujoco]>=1.3,<2' 'jaxmarl>=0.2,<0.3' \
	  | $(BESIDE) - -o requirements/control.txt
	printf '%s\n' 'furo>=2025.12' 'myst-parser>=5,<6' 'sphinx>=9,<10' \
	  | $(BESIDE) - -o requirements/docs.txt
	printf '%s\n' hypothesis packaging pytest pytest-timeout \
	  | $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
	    --python-version 3.12 --python-platform x86_64-manylinux_2_28 \
	    --extra tunix setup.cfg - -o requirements/tunix.txt
	echo uv | $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 - -o requirements/uv.txt

clean: ## removes the environments and the built documentation
	rm -rf $(VENV) .venv-newer .venv-tunix $(TORCH_VENV) docs/_build
