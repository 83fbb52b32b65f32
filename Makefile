# Every target sets up what it needs: a virtual environment in .venv, with the package and the extras of that target.
# Needs only git, make and Python >= 3.11 (`make test PYTHON=python3.12` picks one).

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV ?= .venv
RUN := $(VENV)/bin/python
RESULTS ?= runs/spoken-digits-small
SEEDS ?= 0 1 2

.DEFAULT_GOAL := help
.PHONY: help train controls test test-long boundscheck lint types bench bench-mpi instructions figures ci clean

help:
	@echo "make train        train 32 neurons on spoken digits and plot the result (the main job; 3 minutes)"
	@echo "make test         run the tests (minutes); make test-long: the long ones too"
	@echo "make controls     the same with learned, fixed and no delays, three seeds (SEEDS='0 1 2'; 15 minutes)"
	@echo "make boundscheck  run the kernel tests with array bounds checked"
	@echo "make bench        measure everything (15 minutes; BENCH=--quick: two); make instructions: count instructions"
	@echo "make lint, types, figures, ci, clean"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "eventsnn needs Python 3.11 or later, and '$(PYTHON)' is not: $$($(PYTHON) --version 2>&1 | head -n 1)"; \
		echo "Install one and name it, for example: make $(or $(MAKECMDGOALS),test) PYTHON=python3.12"; exit 1; } >&2
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu it needs the package python3-venv." >&2; exit 1; }

# A stamp per set of extras: pip runs again only when pyproject.toml has changed.
$(VENV)/.installed-%: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

# What was interrupted goes on, and what is finished is not trained again: `make controls` takes over what `make train`
# has trained. Of several seeds each has a folder of its own.
FIRST := $(RESULTS)/seed-$(firstword $(SEEDS))
COMPARED := $(if $(word 2,$(SEEDS)),$(RESULTS),$(FIRST))
resume = $(if $(wildcard $(addsuffix /checkpoint*,$(1))),--resume)

train: $(VENV)/.installed-plot
	$(VENV)/bin/eventsnn train spoken-digits-small --seeds $(firstword $(SEEDS)) --out $(FIRST) $(call resume,$(FIRST))
	@echo "pictures: $(FIRST)/learning_curve.png, delays.png, raster.png; next: make controls"

controls: $(VENV)/.installed-plot
	$(VENV)/bin/eventsnn train spoken-digits-small --seeds $(SEEDS) --controls fixed none --out $(COMPARED) \
		$(call resume,$(if $(word 2,$(SEEDS)),$(addprefix $(RESULTS)/seed-,$(SEEDS)),$(FIRST)))
	@echo "picture: $(COMPARED)/comparison.png"

# One process for each core, up to eight; TESTS= for none.
TESTS ?= -n auto --maxprocesses 8

test: $(VENV)/.installed-test
	$(RUN) -m pytest $(TESTS)

test-long: $(VENV)/.installed-test
	$(RUN) -m pytest $(TESTS) -m "long or not long"

KERNEL_TESTS ?= tests/kernels tests/engines tests/test_simulation.py tests/parallel/test_threads.py

# Compiled without bounds checks, a kernel that reads outside an array is only wrong; with them it raises.
boundscheck: $(VENV)/.installed-test
	NUMBA_BOUNDSCHECK=1 EVENTSNN_CACHE=$(abspath $(VENV))/boundscheck $(RUN) -m pytest $(TESTS) $(KERNEL_TESTS)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types: $(VENV)/.installed-dev
	$(VENV)/bin/mypy

bench: $(VENV)/.installed-plot
	$(RUN) benchmarks/run.py $(BENCH)

bench-mpi: $(VENV)/.installed-test
	$(RUN) benchmarks/mpi.py

instructions: $(VENV)/.installed-test
	$(RUN) benchmarks/instructions.py

figures: $(VENV)/.installed-plot
	$(RUN) docs/make_figures.py

ci:
	.ci/run

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
