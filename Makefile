# Every target sets up what it needs and nothing twice. Extra arguments for the command that a
# target ends in: make demo ARGS='--help'.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-long test-faults compare-plain compare-downtime check bench fuzz man dist deb venv peers clean

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

# What measures time, has a device to itself or is slow runs alone; the other tests wait for
# processes and clocks more than they work: 4 of them fill 2 cores.
BY_ITSELF := timed or hardware or slow
BESIDE_ONE_ANOTHER := $(PYTEST) -n 4 --dist loadscope -m "interop and not ($(BY_ITSELF))"
ALONE := $(PYTEST) -m "$(BY_ITSELF)"
# ARGS may choose tests of one group only, of which the other then has none (exit code 5).
PERHAPS_NONE := $(if $(ARGS),|| [ $$? -eq 5 ])

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: venv ## migrate a real guest with none, zstd and qatzip, and print the table
	@tools/peers.sh qemu
	@$(BIN)/ramferry demo $(ARGS)

test: venv peers check ## everything but the slow tests, against real QEMUs
	$(BESIDE_ONE_ANOTHER) $(ARGS) $(PERHAPS_NONE)
	$(ALONE) $(ARGS) $(PERHAPS_NONE)

test-long: venv peers check ## the slow tests as well
	$(BESIDE_ONE_ANOTHER) $(ARGS) $(PERHAPS_NONE)
	$(ALONE) --slow $(ARGS) $(PERHAPS_NONE)

test-faults: venv peers ## 400 migrations with a fault each; ARGS='--seed 7 --trial 123' repeats one
	@PYTHONPATH=tests $(BIN)/python tests/interop/run_campaign.py $(ARGS)

compare-plain: venv ## one plain stream by ssh, pipes and relays (root); ARGS='--qemu 10.0 --rate 1G'
	@PYTHONPATH=tests:tests/interop $(BIN)/python tests/interop/run_plain.py $(ARGS)

compare-downtime: venv peers ## a limit that begins low beside the whole one; ARGS='--rate 250Mbit --write 8M'
	@PYTHONPATH=tests:tests/interop $(BIN)/python tests/interop/run_downtime.py $(ARGS)

check: venv ## format, lint, types, layers, unit and property tests; about 5 minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -n 5 --dist worksteal -q -m "not interop and not hardware" tests/unit tests/property

bench: venv peers ## compare methods and routes, and saving and restoring, on this machine
	@$(BIN)/ramferry bench $(ARGS)
	@$(BIN)/ramferry bench archives

fuzz: venv ## fuzz parsers and decoders, 10 minutes each: make fuzz ARGS='--seconds 60 main'
	@$(BIN)/python -c 'import atheris' 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --constraint tools/constraints.txt atheris || true
	@$(BIN)/python tests/fuzz/run.py $(ARGS)

man: venv ## the manual pages, in build/man
	@rm -rf build/man
	@. tools/host.sh && export SOURCE_DATE_EPOCH=$$(source_date) && $(BIN)/python packaging/man.py build/man

dist: man ## a wheel and an sdist, in dist
	@tools/dist.sh

deb: dist ## a Debian package for Debian 12, in dist
	@packaging/deb/build.sh

venv: ## .venv with pinned versions
	@tools/venv.sh

peers: ## QEMU and libvirt on the PATH; QEMU 10.0, libvirt 11.3 and qzip under build/peers
	@tools/peers.sh

clean: ## remove all that was made here: .venv, build and caches
	rm -rf .venv build dist .fuzz .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
