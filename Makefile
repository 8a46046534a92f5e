# Two commands matter: `make demo` runs the main job on embedded data, `make test` the tests. Each makes .venv itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two cores are assumed; raise both where there are more. Tests run in as many processes of one thread each.
CORES ?= 2
export OMP_NUM_THREADS ?= $(CORES)

.PHONY: all demo test slow lint docs dist bench results mass encoder replacement inversion masking unknown named beyond audit clean

all: test

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/ready
	$(BIN)/sordine demo -o demo-out --force

test: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(CORES) --dist loadfile --cov --cov-report=
	$(BIN)/coverage report --skip-covered --format=total | sed 's/^/coverage: /; s/$$/ %/'

slow: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(CORES) -m slow

docs: $(VENV)/ready
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs build/docs
	@echo "build/docs/index.html"

dist: $(VENV)/ready
	$(BIN)/python -m build --quiet

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

bench: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.speed

results: $(VENV)/ready
	$(BIN)/python -m benchmarks.overview

mass: $(VENV)/ready
	$(BIN)/python -m benchmarks.mass

encoder: $(VENV)/ready
	$(BIN)/python -m benchmarks.encoder

replacement inversion masking beyond audit: $(VENV)/ready
	$(BIN)/python -m benchmarks.$@

unknown named: $(VENV)/ready
	$(BIN)/python -m benchmarks.unknown --tasks $@

clean:
	rm -rf $(VENV) demo-out dist build
