# Every target does its own set-up: a virtual environment in .venv with this package in it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-gpu soak lint site lock lock-cpu bill release clean

demo: .venv/ready
	$(BIN)/selftaught demo

# Each process begins with its own stretch of the files, so that what a file's tests share is mostly made once. Bytecode is
# kept even where the environment says otherwise: tests start Python hundreds of times, and each would compile anew.
test: .venv/ready
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

# What only a real GPU can tell, in one process: skipped with a reason where there is none.
test-gpu: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gpu -rs tests/gpu

# Hours of the suite's kind of trouble in minutes; goes on where it was cut. Counts go to docs/results/soak.json.
soak: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability.soak

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file bench/mypy.ini bench
	$(BIN)/lint-imports
	$(BIN)/python tools/supply.py check
	$(BIN)/python -m tools.site --check

# The documentation as pages that need nobody else: docs/site/index.html.
site: .venv/ready
	$(BIN)/python -m tools.site

# constraints.txt anew, from pyproject.toml: the versions stay where they fit; `make lock UPGRADE=--upgrade` takes the
# newest. It has the hashes of all files of a version and markers, so it serves every system and Python that we do.
lock: .venv/ready
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes $(UPGRADE) \
	    --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt --quiet \
	    --custom-compile-command 'make lock'

# The same for torch's builds for CPUs alone, which have other hashes: constraints-cpu.txt, for the Dockerfile.
lock-cpu: .venv/ready
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	    --torch-backend cpu --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
	    --output-file constraints-cpu.txt --quiet --custom-compile-command 'make lock-cpu'

# All that a release takes but handing it over: versions that agree, an sdist and a wheel in dist/, checked, and the
# wheel tried in an empty environment. `make release RELEASE=--rehearse` does so before the day stands in CHANGELOG.md.
release: .venv/ready
	$(BIN)/python tools/release.py $(RELEASE)

# What is installed, as a bill of materials (CycloneDX).
bill: .venv/ready
	$(BIN)/python tools/supply.py bill sbom.json

# What is not named in constraints.txt, or has another hash, is not installed. The package itself then needs nothing
# more, and is built by what is there.
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes --requirement constraints.txt
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # by all cores, pip would by one; some files are templates
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf .venv runs/demo build dist docs/site sbom.json  # runs/ holds the runs of whoever works here, too
