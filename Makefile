# make env | test | smoke | reproduce        what a reader needs; `make help` lists every target
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 3
PROFILE ?= cpu

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TESTS_STAMP := $(VENV)/.installed-for-tests
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_DISABLE_TELEMETRY := 1

# One thread per worker: workers would fight over the cores, and sums keep their order.
# MPLBACKEND stays unset where notebooks are made, or the kernel would show no figure.
REPEATABLE := env -u MPLBACKEND OMP_NUM_THREADS=1 TQDM_DISABLE=1
OFFLINE := HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1

# Tests and notebooks are one pool: a worker has a file at a time, in the order of tests/schedule.py.
# One worker more than the two cores that it is made for, since they wait: for a browser, for a
# process to start or to end. Each takes 1.5 GB, and 5 GB while it trains a ViT-B/16.
# Of notebooks, nbval compares the cells tagged for it. Bytecode is kept even where it usually is
# not, or every process that a test starts would compile the package again.
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9]*.ipynb))
POOL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
	-W 'ignore:Module already imported so cannot be rewritten'
NBVAL := --nbval-lax --nbval-kernel-name=warm --nbval-cell-timeout=300 \
	--nbval-sanitize-with tests/nbval/sanitize.cfg

.PHONY: help env test browser reproduce smoke promote notebooks lab lock lint benchmark book clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

env: $(STAMP)  ## build the environment in .venv from requirements.lock (again only when that changes)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "bclip needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make env PYTHON=python3.11" >&2; exit 1; }
	@echo "Building $(VENV) from requirements.lock: PyTorch is several GB, this takes a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq -r requirements.lock
	$(BIN)/python -m pip install -qq --no-deps -e .
	@touch $@

$(TESTS_STAMP): $(STAMP) tests/requirements.txt
	$(BIN)/python -m pip install -qq --no-deps --require-hashes -r tests/requirements.txt
	@touch $@

test: env $(TESTS_STAMP)  ## unit tests, and every notebook executed and compared with its stored outputs
	$(OFFLINE) OMP_NUM_THREADS=1 MPLBACKEND=Agg PYTHONDONTWRITEBYTECODE= \
	  $(BIN)/python -m pytest $(POOL) $(NBVAL) tests $(NOTEBOOKS)

browser: env  ## the explorer in a real browser (part of `make test` where there is Chromium)
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser

reproduce: env  ## run the whole collection (PROFILE=cpu; smoke and gpu are the others)
	$(BIN)/python -m bclip_core.reproduce --profile $(PROFILE)

smoke: env  ## run the whole collection at its smallest size
	$(BIN)/python -m bclip_core.reproduce --profile smoke

promote: env  ## take the last results of PROFILE into results/reference and the pages
	$(BIN)/python -m bclip_core.reproduce.promote $(PROFILE)
	$(BIN)/python -m bclip_core.reproduce.pages

notebooks: env  ## execute the committed notebooks in place at the smoke profile and clean them
	$(REPEATABLE) $(BIN)/python -m bclip_core.reproduce --profile smoke --in-place

lab: env  ## open copies of the notebooks in JupyterLab; they lie in lab/, which git ignores
	$(BIN)/python -m bclip_core.reproduce.lab

book: env  ## the notebooks as a book in build/book, from their committed outputs; nothing is executed
	$(BIN)/python -m bclip_core.reproduce.story
	$(BIN)/python -m bclip_core.reproduce.book

benchmark: env  ## measure speed and memory (benchmarks/)
	for script in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$script .py) || exit 1; done

lint: env  ## ruff, mypy, and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: env  ## resolve requirements.lock again from pyproject.toml (UPGRADE=--upgrade for newer versions)
	$(BIN)/python -m pip install -qq uv
	$(BIN)/uv pip compile pyproject.toml --quiet --all-extras --universal --python-version 3.11 \
	  --fork-strategy fewest --no-annotate --no-emit-index-url --custom-compile-command "make lock" \
	  $(UPGRADE) --output-file requirements.lock

clean:  ## remove caches and builds; .venv and results/runs stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
