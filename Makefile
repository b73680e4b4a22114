# Everything that is done with a checkout.  The first run makes .venv by itself; later ones start at once.

SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
SEEDS ?= 200
PIP_QUIETLY := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
READY := $(VENV)/.ready
WITH_DOCS := $(VENV)/.docs

.PHONY: test test-booted demo sim mutants bench-paper bench-scale bench-race docs config-docs clean

# Checks and all tests; the last line is "N passed, N failed, N skipped".
test: $(READY)
	@$(PYTHON) -m tests.runner $(TESTS)

# The services on machines that boot, with a systemd of their own; as root, and it says which packages are missing.
test-booted: $(READY)
	$(PYTHON) -m unittest -v tests.booted.service

# A cluster of 20 peers on this machine, in one process, that cleans up after itself.
demo: $(READY)
	@$(VENV)/bin/clumpt demo

# The simulated cluster with many seeds: make sim SEEDS=1000
sim: $(READY)
	CLUMPT_SEEDS=$(SEEDS) $(PYTHON) -m twisted.trial tests.sim

# Breaks the code in many small ways; each has to be noticed by a test.
mutants: $(READY)
	$(PYTHON) tests/mutants.py

# The evaluation of the paper (R79-R87).
bench-paper: $(READY)
	$(PYTHON) bench/paper.py

# 1000 peers and more, in virtual time; docs/simulation.md and docs/performance.md have the figures.
bench-scale: $(READY)
	$(PYTHON) bench/push_scale.py
	$(PYTHON) bench/swarm_sim.py 100,20,20 1000,20,20

# Against other ways to bring a file to many machines; as root, and it says which packages are missing:
#   make bench-race SETTINGS="20x20M@20 5x10M@100" ARGUMENTS="--reps 5 --out race.jsonl"
bench-race: $(READY)
	$(PYTHON) bench/race.py $(if $(SETTINGS),--settings $(SETTINGS)) $(ARGUMENTS)

# The manual pages, in build/man.
docs: $(WITH_DOCS)
	$(PYTHON) -m sphinx -q -W -b man docs/man build/man

# The sample configuration and the tables of keys, from clumpt/config.py.
config-docs: $(READY)
	$(PYTHON) docs/generate.py

clean:
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .hypothesis .mypy_cache .ruff_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

$(VENV)/.system: .ci/system-packages
	@.ci/system-packages
	@.ci/make-venv $(VENV)
	@touch $@

$(READY): $(VENV)/.system setup.cfg setup.py
	$(PIP_QUIETLY) $(PYTHON) -m pip install -q -e '.[admin,test]'
	@# As an installation has it: or each of many daemons compiles everything, where Python may not keep that.
	@$(PYTHON) -m compileall -q clumpt
	@touch $@

$(WITH_DOCS): $(READY)
	$(PIP_QUIETLY) $(PYTHON) -m pip install -q -e '.[docs]'
	@touch $@
