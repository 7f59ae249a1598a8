# Everything runs in .venv, made from the requirements files when it is missing or older than they are.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALL := $(RUN) pip install --disable-pip-version-check --requirement
# Stamps: an installation that was interrupted has none and is taken up again.
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint clean
.DELETE_ON_ERROR:

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNTIME)  ## The whole main job on toybirds: train, evaluate, export, serve; results in runs/demo
	$(RUN) ornet_tf.demo --config=configs/toybirds.py --workdir=runs/demo

test: lint  ## The linter and all tests
	$(RUN) pytest -q

test-fast: $(DEV)  ## The tests that neither train for long nor start whole programs
	$(RUN) pytest -q -m "not slow"

lint: $(DEV)  ## The linter
	$(RUN) ruff check .

clean:  ## Removes .venv, builds and caches; keeps runs/
	rm -rf $(VENV) .build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  echo "Expected Python 3.11, 3.12 or 3.13 behind the command $(PYTHON), got '$$($(PYTHON) --version 2>&1)';" \
	    "name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.txt | $(VENV)/bin/python
	@echo "Installing requirements.txt into $(VENV), once: some 800 MB to download, 2.6 GB on disk."
	$(INSTALL) requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	$(INSTALL) requirements-dev.txt
	@touch $@
