# Every target makes the environment it needs, once: `make compare` works on a fresh clone.
PYTHON ?= python3
VENV := .venv
CLUSTER := .venv-cluster
BUILD := .venv-build
BIN := $(VENV)/bin

# Packages are installed as source and compiled by whoever imports them first, so that much that is
# never used is never compiled. Where nobody may keep what is compiled, each start would take 10 s.
unexport PYTHONDONTWRITEBYTECODE

# Python 3.11 brings a pip that takes three times as long to find what goes together.
PIP := "pip>=25"

.PHONY: compare test test-suite test-cluster lint docs package bench clean

compare: $(VENV)/installed
	$(BIN)/qhyper compare

test: test-suite test-cluster

test-suite: $(VENV)/dev
	$(BIN)/python -m pytest -n auto --dist worksteal

test-cluster: $(CLUSTER)/made
	$(CLUSTER)/bin/python -m pytest tests/run/test_cluster.py

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/dev
	$(BIN)/python -m sphinx -W --keep-going -n -j auto -q docs docs/_build/html
	@echo "Documentation: docs/_build/html/index.html"

package: $(BUILD)/made
	$(BUILD)/bin/python tests/package/run.py

bench: $(CLUSTER)/made
	$(CLUSTER)/bin/python tests/benchmarks/run.py

clean:
	rm -rf $(VENV) $(CLUSTER) $(BUILD) build dist docs/_build *.egg-info

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile $(PIP)
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e .
	touch $@

# with the tools, and with every vendor's packages, which the tests run: at once, or after the above
$(VENV)/dev: pyproject.toml constraints.txt $(if $(filter compare,$(MAKECMDGOALS)),$(VENV)/installed)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile $(PIP)
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e ".[dev]"
	touch $(VENV)/installed $@

# the environment above, with dask in front of it: see tests/cluster.txt
$(CLUSTER)/made: $(VENV)/dev tests/cluster.txt
	$(PYTHON) -m venv $(CLUSTER)
	$(CLUSTER)/bin/python -m pip install --quiet --no-compile --no-deps -r tests/cluster.txt
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		> $$($(CLUSTER)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/environment.pth
	touch $@

# what makes a wheel, and nothing else: it need not wait for the tools
$(BUILD)/made: constraints.txt
	$(PYTHON) -m venv $(BUILD)
	$(BUILD)/bin/python -m pip install --quiet --no-compile -c constraints.txt $(PIP) build
	touch $@
