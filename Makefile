# make lab opens the course, make test checks all of it; both set up .venv first if it is not there. Needs python3, pip, make.
PYTHON ?= python3
# The small CPU build of torch. Empty it for CUDA: make TORCH_INDEX= lab
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
LAB_OPTIONS ?=
# The folder that JupyterLab shows.
LAB_ROOT ?= .
# How many processes run the tests: auto is one a core where there is the memory, 0 runs them one after the other.
JOBS ?= auto
# Kernels start in the folder of their notebook, so a relative path must become absolute.
ifdef COURSE_DATA
export COURSE_DATA := $(abspath $(COURSE_DATA))
endif

VENV := .venv
BIN := $(VENV)/bin
# A file goes to one process: its fixtures, or the kernel of a notebook, live there. conftest.py says which files begin.
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9]*.ipynb)) $(sort $(wildcard notebooks/solutions/*.ipynb))
# JupyterLab refuses to run as root unless told so; containers and Colab-like machines are root.
ROOT_OPTION := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup lab test lint unit notebooks-test test-colab bench notebooks exercises book test-book test-browser bundle test-bundle test-oldest sample constraints clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.ok  ## create .venv with every package at its pinned version

# A copied or moved .venv still points to its old place: set up anew.
ifneq ($(CURDIR),$(shell cat $(VENV)/.home 2>/dev/null))
.PHONY: $(VENV)/.ok
endif

$(VENV)/.ok: pyproject.toml constraints.txt
	@$(PYTHON) scripts/setup_env.py --torch-index "$(TORCH_INDEX)"

lab: setup  ## open the course in JupyterLab
	$(BIN)/jupyter lab $(ROOT_OPTION) --ServerApp.root_dir="$(LAB_ROOT)" --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_OPTIONS)

test: lint unit notebooks-test  ## check everything: style, unit tests, every notebook

lint: setup  ## check style, spelling and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

unit: setup  ## run the unit tests
	$(PYTEST) tests

notebooks-test: setup  ## run every notebook top to bottom, cell by cell
	$(BIN)/python tools/keep_tagger.py
	$(PYTEST) --nbval-lax --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg $(NOTEBOOKS)

test-colab: setup  ## emulate Colab: install what it lacks (network), then run notebooks 01 and 04 as opened there
	COURSE_COLAB=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest tests/test_colab.py

bench: setup  ## run every benchmark that needs no GPU; writes benchmarks/results.json and RESULTS.md
	$(BIN)/python benchmarks/run_all.py

notebooks: setup  ## run the notebooks and store their outputs
	$(BIN)/python tools/keep_tagger.py
	$(BIN)/python tools/run_notebooks.py

exercises: setup  ## make notebooks/exercises from notebooks/solutions
	$(BIN)/python tools/make_exercises.py

sample: setup  ## write the files of data/ anew (the same bytes every time)
	$(BIN)/python tools/make_sample.py comments
	$(BIN)/python tools/make_sample.py reviews
	$(BIN)/python tools/make_sample.py templates
	$(BIN)/python tools/make_sample.py tickets
	$(BIN)/python tools/make_sample.py synthetic

book: setup  ## build the course as a static site in build/book, and check it
	$(BIN)/python tools/make_book.py

test-book: book  ## open the site in a real browser; screenshots go to build/book-screens
	$(BIN)/python -m pytest tests/browser/test_book.py

# PICK chooses tests by their names: make test-browser PICK="00_ or explorers"
test-browser: setup  ## run every notebook in JupyterLab and a real browser (Chromium); screenshots go to build/browser
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest $(if $(PICK),-k "$(PICK)") tests/browser/test_lab_*.py

bundle: setup  ## make build/bundle: the course, to install in a room with no network
	$(BIN)/python tools/make_bundle.py --torch-index "$(TORCH_INDEX)"

test-bundle: setup  ## install the newest bundle with the network cut off, and run two notebooks there
	$(BIN)/python tools/try_bundle.py

test-oldest: setup  ## run the unit tests with the oldest numpy, pandas, scikit-learn ... that pyproject.toml allows
	$(BIN)/python tools/oldest.py --torch-index "$(TORCH_INDEX)" --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder tests

constraints:  ## resolve the newest versions that fit pyproject.toml and pin them in constraints.txt
	$(PYTHON) tools/make_constraints.py

clean:  ## remove .venv and every cache
	rm -rf $(VENV) $(VENV)-oldest .pytest_cache .ruff_cache .mypy_cache .hypothesis build/book* *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
