# `make demo` and `make test` need Python 3.11, make and the package registries, nothing else.

PYTHON ?= python3.11
BIN := .venv/bin
# A worker takes about 3 GB of memory.
PYTEST := $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal

.PHONY: venv demo test test-all lint

venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	    echo "error: $(PYTHON) is not installed; install it, or name one: make PYTHON=python3.12"; \
	    exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

# Fine-tunes EfficientNet-Lite0 on photos of solar cells; again, it shows the result.
demo: venv
	$(BIN)/python train.py --config=configs/solar_lite0.py --workdir=runs/demo

test: venv
	$(PYTEST) -m 'not slow'

test-all: venv
	$(PYTEST)

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
