# Everything runs in .venv, made from the requirements files when it is missing or older than they are; the legacy stack
# with tensorflow-addons in .venv-addons.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
# In two processes: most tests use one core, and each process takes some 2 GB of memory. tests/conftest.py orders files.
TEST := pytest -q --numprocesses=2 --dist=loadfile --no-loadscope-reorder
# Compiling all modules takes half a minute, and most are never imported; Python compiles what it imports.
INSTALL := -m pip install --disable-pip-version-check --no-compile --requirement

ADDONS_VENV := .venv-addons
ADDONS_RUN := $(ADDONS_VENV)/bin/python -m
# The first of these that is here and of a version that the legacy stack has wheels for.
IS_LEGACY := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))
# What depends on the version of Keras: layers, weights, training, and one test of evaluation and of exports each. All else
# uses core operations of TensorFlow, or none of it, and is tested on the default stack only.
ON_LEGACY := $(addprefix tests/,backbones methods models runs training)
ON_LEGACY += $(addprefix tests/,build_test.py compat_test.py conversion_test.py program_test.py two_stacks_test.py)
ON_LEGACY += tests/evaluation/measurement_test.py tests/maps/addons_components_test.py
ON_LEGACY += $(addprefix tests/inference/,localizer_test.py saved_model_test.py)
PYTHON_ADDONS ?= $(shell for python in $(PYTHON) python3.11 python3.10; do \
  $$python -c "$(IS_LEGACY)" >/dev/null 2>&1 && { echo $$python; break; }; done)
# Stamps: an installation that was interrupted has none and is taken up again.
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
ADDONS := $(ADDONS_VENV)/.addons-installed
# What `make compare` compares on: configs/rivals_$(DATA).py.
DATA ?= toybirds

.DEFAULT_GOAL := help
.PHONY: help install demo compare test test-fast test-addons lint clean
.DELETE_ON_ERROR:

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(RUNTIME)  ## The environment .venv, in which all programs run

demo: $(RUNTIME)  ## The whole main job on toybirds: train, evaluate, export, serve; results in runs/demo
	$(RUN) ornet_tf.demo --config=configs/toybirds.py --workdir=runs/demo

compare: $(RUNTIME)  ## The paper's Table 1 on toybirds, or DATA=cub10: ORNet and its rivals; results in runs/rivals_DATA
	$(RUN) ornet_tf.reproduce --config=configs/rivals_$(DATA).py --workdir=runs/rivals_$(DATA) --what=table1

test: lint  ## The linter and all tests
	$(RUN) $(TEST)

test-fast: $(DEV)  ## The tests that neither train for long nor start whole programs
	$(RUN) $(TEST) -m "not slow"

test-addons: $(ADDONS)  ## The fast tests of what uses Keras on the legacy stack, against .venv where that is
	if [ -e $(RUNTIME) ]; then export ORNET_PEER_PYTHON="$(CURDIR)/$(VENV)/bin/python"; fi; \
	  $(ADDONS_RUN) $(TEST) -m "not slow" $(ON_LEGACY)

lint: $(DEV)  ## The linter, and the contract of imports in pyproject.toml
	$(RUN) ruff check .
	$(VENV)/bin/lint-imports

clean:  ## Removes all environments, builds and caches; keeps runs/
	rm -rf .venv .venv-* .build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  echo "Expected Python 3.11, 3.12 or 3.13 behind the command $(PYTHON), got '$$($(PYTHON) --version 2>&1)';" \
	    "name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.txt | $(VENV)/bin/python
	@echo "Installing requirements.txt into $(VENV), once: some 870 MB to download, 2.8 GB on disk."
	$(VENV)/bin/python $(INSTALL) requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	$(VENV)/bin/python $(INSTALL) requirements-dev.txt
	@touch $@

$(ADDONS_VENV)/bin/python:
	@$(or $(PYTHON_ADDONS),false) -c "$(IS_LEGACY)" 2>/dev/null || { \
	  echo "Expected Python 3.10 or 3.11 for tensorflow-addons, got '$(PYTHON_ADDONS)';" \
	    "name one: make $(MAKECMDGOALS) PYTHON_ADDONS=python3.11" >&2; exit 1; }
	$(PYTHON_ADDONS) -m venv $(ADDONS_VENV)

# The pip that comes with Python 3.10 and 3.11 looks for versions that fit each other for a quarter of an hour.
$(ADDONS): requirements-addons.txt | $(ADDONS_VENV)/bin/python
	@echo "Installing requirements-addons.txt into $(ADDONS_VENV), once: some 760 MB to download, 2.3 GB on disk."
	$(ADDONS_RUN) pip install --disable-pip-version-check --quiet "pip>=25"
	$(ADDONS_VENV)/bin/python $(INSTALL) requirements-addons.txt
	@touch $@
