# bodycam-agent: every command of the house. `make` alone lists them.
#
# Each target sets up what it misses first (tools/setup); a second run only looks, in well under 2 s.

.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
ARGS ?=
JOBS ?= $(shell echo $$(( $$(nproc) + 1 )))
SUITE ?= bookworm
VM ?= uml qemu

# Tests start hundreds of interpreters: none may have to compile what the one before it has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help deb setup bench test test-wide test-long benchmark lint fuzz format lock fresh-test picamera-test vm-setup vm-test vm-smoke clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-12s %s\n", $$1, $$2 }'

setup: ## set up only: system packages, .venv, the three commands in .venv/bin
	@tools/setup test

bench: ## set up what is missing, then record, seal, upload, verify and export on this desk: ARGS="--duration 10"
	@tools/setup run
	@$(BIN)/bodycam-agent bench $(ARGS)

test: ## set up what is missing, then every check and test, campaigns and long series as a sample: ARGS="-k words" JOBS=1
	@tools/setup test
	@# Checks keep one core busy. Meanwhile another makes what all workers would make at once: the tests, compiled.
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1 & $(MAKE) --no-print-directory lint && wait
	BODYCAM_WIDE=sample $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

test-wide: ## the cases of long series that `make test` leaves out
	@tools/setup test
	BODYCAM_WIDE=rest $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

test-long: lint ## the campaigns in full, resumable; results in docs/results/
	BODYCAM_CAMPAIGN=full $(BIN)/python -m pytest -m campaign $(ARGS)

benchmark: ## every comparison, one table of ratios; fails where one misses its aim
	@tools/setup test
	@$(BIN)/python -m benchmarks --hold $(ARGS)

fuzz: ## give readers of evidence inputs made to break them (docs/fuzzing.md): ARGS="segment --seconds 300"
	@tools/setup test
	@$(BIN)/python -W ignore -m tests.fuzz $(ARGS)

lint: ## ruff, mypy, import contracts
	@tools/setup test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: ## put imports and layout in order
	@tools/setup test
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

lock: ## write requirements/*.txt anew from setup.py
	@tools/lock

deb: ## the Debian package of a camera, into dist/: ARGS="--suite trixie --arch arm64"
	@tools/setup run
	@$(BIN)/python tools/deb $(ARGS)

fresh-test: ## both README commands in a fresh debootstrap root, as root and with sudo: SUITE=bookworm|trixie
	@tools/fresh-root $(SUITE)

vm-setup: ## kernel and disks of the virtual camera, with the agent of this tree in it (tests/vm/README.md)
	@tools/setup test
	@SUITE=$(SUITE) tests/vm/setup.sh

vm-test: vm-setup ## the camera in virtual machines: ARGS="-k power" VM="uml qemu" SUITE=trixie; BODYCAM_CAMPAIGN=full for all power cuts
	BODYCAM_VM="$(VM)" BODYCAM_VM_SUITE=$(SUITE) $(BIN)/python -m pytest -o faulthandler_timeout=7200 tests/vm $(ARGS)

vm-smoke: ## of vm-test, one camera in QEMU from its boot to the receipt, as .ci/run has it; says why where it cannot run
	@tools/setup test
	@tests/vm/smoke.sh

picamera-test: ## the whole recorder on real picamera2 and libcamera's virtual camera, in a Debian 13 root
	@tools/picamera-root

clean: ## remove .venv and every cache; recordings stay
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find agent tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
