# Two commands matter: `make demo` runs the main job on embedded data, `make test` the tests. Each makes .venv itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two cores are assumed; raise both where there are more. Tests run in as many processes of one thread each.
CORES ?= 2
export OMP_NUM_THREADS ?= $(CORES)

.PHONY: all demo test slow lint docs dist licences chaos fuzz bench results mass encoder replacement inversion masking unknown named beyond audit clean

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

# The wheel and, beside it, the bill of materials of what it needs.
dist: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dist]'
	$(BIN)/python -m build --quiet
	PATH=$(BIN):$$PATH $(BIN)/python -m benchmarks.dependencies --bom dist

licences: $(VENV)/ready
	@$(BIN)/python -m benchmarks.dependencies

KILLS ?= 1000
chaos: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.robustness chaos --kills $(KILLS)

INPUTS ?= 1000
fuzz: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.robustness fuzz --modifiers $(INPUTS) --jobs $(INPUTS) --reports $(INPUTS) --keys $(INPUTS)

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
