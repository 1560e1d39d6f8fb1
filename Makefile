# Every target does its own set-up: a virtual environment in .venv with this package in it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test soak lint clean

demo: .venv/ready
	$(BIN)/selftaught demo

test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

# Hours of the suite's kind of trouble in minutes; goes on where it was cut. Counts go to docs/results/soak.json.
soak: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability.soak

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# torch goes first and alone: with it in place, nothing else pulls in another build.
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch torchvision
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv runs build dist
