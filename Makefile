# Each target works on a fresh machine with Python and make: what is missing is installed into .venv first.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: quickstart test lint format schema reference docs bench clean

# pip before 21.3, which Python 3.9 may bring, cannot install a clone in editable mode.
$(RUN)/python:
	$(PYTHON) -m venv $(VENV)
	$@ -m pip install --quiet --disable-pip-version-check "pip>=21.3"

$(VENV)/.user: $(RUN)/python pyproject.toml
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e ".[report]"
	@touch $@

$(VENV)/.dev: $(RUN)/python pyproject.toml
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e ".[report,onnx,openvino,serve,heic,dev]"
	@touch $@ $(VENV)/.user $(VENV)/.docs

$(VENV)/.docs: $(RUN)/python pyproject.toml
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@

quickstart: $(VENV)/.user
	$(RUN)/python tools/quickstart.py

test: $(VENV)/.dev
	$(RUN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/.dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/python -m pytest -q tests/test_arrows.py

format: $(VENV)/.dev
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

# configs/schema.json, from which editors complete recipes; a test keeps it in step.
schema: $(VENV)/.dev
	$(RUN)/ppcls config --json-schema > configs/schema.json.tmp
	mv configs/schema.json.tmp configs/schema.json

# The generated pages: docs/components.md, docs/recipe_keys.md and the tables of docs/models; a test keeps them in step.
reference: $(VENV)/.dev
	$(RUN)/python tools/make_reference.py

# The documentation as a site; open site/index.html in a browser.
docs: $(VENV)/.docs
	$(RUN)/mkdocs build

# All suites; see `python benchmarks/run.py --help` for peers to measure beside.
bench: $(VENV)/.dev
	$(RUN)/python tools/make_digits.py dataset/digits
	$(RUN)/python benchmarks/run.py --suite all

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache
