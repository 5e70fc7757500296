# Every target makes the environment it needs, once: `make compare` works on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: compare test bench lint clean

compare: $(VENV)/installed
	$(BIN)/qhyper compare

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest

bench: $(VENV)/installed
	$(BIN)/python -m tests.benchmarks

lint: $(VENV)/installed
	$(BIN)/pre-commit run --all-files

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@
