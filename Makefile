# Everything from a fresh clone with Python 3.11 and make: `make pretrain GAME=SpaceInvaders`,
# `make test`. The environment is made in .venv when it is first needed.

PYTHON ?= python3
GAME ?= SpaceInvaders
ARGS ?=
BIN := .venv/bin

.PHONY: help env env-rllib pretrain agent test test-slow test-rllib lint types format docs clean

help:
	@echo "make pretrain GAME=SpaceInvaders [ARGS='--steps 5000']  collect rollouts and fit SILOT"
	@echo "make agent GAME=SpaceInvaders [ARGS=...]                train an agent on the slots"
	@echo "make env-rllib | test-rllib                             RLlib, in .venv-rllib"
	@echo "make docs                                               the documentation, in site/"
	@echo "make test | test-slow | lint | types | format | env | clean"

env: .venv/installed

# torch comes first and pinned: left to other packages it may bring gigabytes of CUDA along.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
# trackeval brings the desktop build of OpenCV, which does not import where there is no display
# library; the headless build goes over it.
	$(BIN)/pip install --quiet --constraint constraints.txt --force-reinstall --no-deps opencv-python-headless
	touch $@

env-rllib: .venv-rllib/installed

# Ray pins an older gymnasium than constraints.txt has.
.venv-rllib/installed: pyproject.toml constraints-rllib.txt
	$(PYTHON) -m venv .venv-rllib
	.venv-rllib/bin/pip install --quiet --constraint constraints-rllib.txt torch
	.venv-rllib/bin/pip install --quiet --constraint constraints-rllib.txt --editable '.[rllib]' pytest
	.venv-rllib/bin/pip install --quiet --constraint constraints-rllib.txt --force-reinstall --no-deps opencv-python-headless
	touch $@

pretrain: env
	$(BIN)/python pretrain/collect_and_train.py --game $(GAME) $(ARGS)

agent: env
	$(BIN)/python agents/train.py --game $(GAME) --obs slots $(ARGS)

test: env
	$(BIN)/python -m pytest -q

test-slow: env
	$(BIN)/python -m pytest -q -m slow

test-rllib: env-rllib
	.venv-rllib/bin/python -m pytest -q tests/test_rllib.py tests/test_slot_vector.py

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf site .venv .venv-rllib .mypy_cache .pytest_cache .ruff_cache
