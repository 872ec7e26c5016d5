# `make figures` and `make test` need Python 3.11 to 3.13 and make, and nothing else set up.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
PROFILE ?= quick
NOTEBOOK ?=
DATA ?=
FROM ?=
FORMATS ?=

# Paths are relative throughout, so that a space in the path of the clone does no harm.
BIN = .venv/bin
READY = .venv/.ready

.PHONY: figures test lab site lock wheels clean
.DEFAULT_GOAL := figures

figures: $(READY)
	$(BIN)/python -m prunability figures --profile "$(PROFILE)" $(if $(NOTEBOOK),--notebook "$(NOTEBOOK)") $(if $(DATA),-p "data=$(DATA)") $(if $(FROM),-p "runs_from=$(FROM)") $(if $(FORMATS),-p "formats=$(FORMATS)")

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest

lab: $(READY)
	$(BIN)/python -m prunability lab

# Static pages below site/html/, to be opened or served as they are.
site: $(READY)
	$(BIN)/python -m prunability site

# Exact versions for every supported Python and system; keeps what the old lock holds where it still fits.
lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --no-annotate \
		--custom-compile-command "make lock" --quiet --output-file requirements.lock

# For a bare machine with PyTorch and no network (Linux, THERE its Python): what such machines lack, to be carried there
# and installed with `pip install --no-index --no-deps wheels/*.whl`. The library then runs with PYTHONPATH=lib.
THERE ?= 3.12
wheels: $(READY)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest wheels \
		--python-version $(THERE) --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
		$$(grep -E '^(pydantic|pydantic-core|annotated-types|typing-inspection|typing-extensions)==' requirements.lock)

$(READY): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "No Python 3.11 to 3.13 found; name one: make PYTHON=/path/to/python" >&2; exit 2; fi
	@echo "Setting up .venv (several minutes and about 6 GB the first time, most of it PyTorch)" >&2
	"$(PYTHON)" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

clean:
	rm -rf .venv
