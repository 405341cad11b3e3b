# `make demo` and `make test` need Python 3.11, make and the package registries, nothing else.

PYTHON ?= python3.11
BIN := .venv/bin
# A worker takes about 3 GB of memory.
PYTEST := $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal

# What runs on Windows too.
INSTALLED := efficientnet input_pipeline configs

.PHONY: venv demo test test-all test-lowest test-newest lint

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

# The core tests with the lowest and with the newest versions that pyproject.toml allows, each in an
# environment of its own. What packages of other versions warn of is not ours to mend.
CORE := $(addprefix tests/,test_config.py test_paths.py network/test_model.py \
    training/test_optim.py training/test_trainer.py training/test_checkpoints.py \
    training/test_workdir.py training/test_run.py input_pipeline/test_batches.py \
    input_pipeline/test_cache.py inference/test_predict.py inference/test_loading.py \
    inference/test_export.py inference/test_serving.py reporting/test_report.py weights/test_formats.py)

test-lowest: VERSIONS := lowest-direct
test-newest: VERSIONS := highest
test-lowest: EXTRAS := heic,parquet,test
test-newest: EXTRAS := heic,parquet,serve,test
test-lowest test-newest: test-%:
	$(PYTHON) -m venv --clear build/$*
	build/$*/bin/python -m pip install uv==0.13.9
	build/$*/bin/uv pip install --python build/$*/bin/python --resolution $(VERSIONS) \
	    --editable '.[$(EXTRAS)]'
	build/$*/bin/python -m pytest -W default -m 'not slow' $(CORE)

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform=win32 --cache-dir=.mypy_cache/windows $(INSTALLED)
