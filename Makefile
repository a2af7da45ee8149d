# Everything a newcomer types. `make setup` is done first by what needs it, and only when something changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEEPSPEED := $(VENV)/deepspeed

.PHONY: help setup demo test check up bench bench-generation bench-meaning bench-quality bench-round bench-funnel bench-training bench-focus bench-forgetting bench-suites bench-ledger bench-gate bench-registry bench-canary bench-serving bench-drift clean lock

help:            ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## +/\t/' | expand -t 14

setup: $(READY)  ## make .venv, install the locked packages, fetch the embedded models

$(READY): pyproject.toml constraints.txt core/models/models.yaml tests/clients/package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "wheelwork needs Python 3.11, 3.12 or 3.13; say which: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV): two to five minutes, about 2 GB"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/wheelwork models pull
	@if command -v npm >/dev/null; then npm ci --silent --prefix tests/clients || echo "the Node client was not installed; its test is skipped"; fi
	@touch $@

demo: $(READY)   ## one round of scenarios/home_broadband, with a report
	@$(BIN)/wheelwork demo

# by itself, with all of .venv in sight: where it is installed accelerate loads it, asked for or not
PLACE := import sysconfig; print(sysconfig.get_path("purelib"))
$(DEEPSPEED)/.ready: $(READY)
	@echo "installing DeepSpeed into $(DEEPSPEED), for one test"
	@$(BIN)/python -m venv $(DEEPSPEED) \
	  && echo "import site; site.addsitedir('$$($(BIN)/python -c '$(PLACE)')')" \
	    > "$$($(DEEPSPEED)/bin/python -c '$(PLACE)')/ours.pth" \
	  && $(DEEPSPEED)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt deepspeed \
	  && touch $@ || echo "DeepSpeed was not installed; its test is skipped"

# two files at a time, each on one core
test: $(READY) $(DEEPSPEED)/.ready  ## every test, the embedded model's too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# mypy wants the package under its own name, whatever the clone's folder is called
check: $(READY)  ## format, lint, types of core, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@mkdir -p .types && ln -sfn .. .types/wheelwork
	MYPYPATH=.types $(BIN)/python -m mypy -p wheelwork.core
	$(BIN)/python -m pytest tests/test_architecture.py

up: $(READY)     ## Prefect, MLflow, a worker and the deployments, until Ctrl-C
	@$(BIN)/wheelwork up

bench: bench-generation bench-meaning bench-quality bench-round bench-training bench-suites bench-funnel bench-focus bench-forgetting bench-ledger bench-gate bench-registry bench-canary bench-serving bench-drift  ## every benchmark; each prints a table and writes benchmarks/results/NAME.json

bench-generation: $(READY)  ## calls a second, memory, planning; the embedded engine beside itself without us; the peers
	$(BIN)/python -m wheelwork.benchmarks.generation
	$(BIN)/python -m wheelwork.benchmarks.generation --engine
	$(BIN)/python -m wheelwork.benchmarks.peers

bench-meaning: $(READY)  ## what tells a child that says the same from one that does not, and the thresholds of augmentation
	$(BIN)/python -m wheelwork.benchmarks.meaning

bench-quality: $(READY)  ## the funnel over files up to a million rows: speed, memory, what it finds; the peers
	$(BIN)/python -m wheelwork.benchmarks.quality
	$(BIN)/python -m wheelwork.benchmarks.quality_peers

bench-forgetting: $(READY)  ## three rounds on three groups of labels, with each remedy against forgetting and without; two hours, goes on where it was
	$(BIN)/python -m wheelwork.benchmarks.forgetting

bench-ledger: $(READY)  ## how often the ledger holds back a candidate as good as the champion, by its margin; seconds
	$(BIN)/python -m wheelwork.benchmarks.ledger

bench-gate: $(READY)  ## the gate against chance, beside the rules of others: false promotions, power, guards; pictures of docs/gate.md
	$(BIN)/python -m wheelwork.benchmarks.gate

bench-round: $(READY)  ## the demo's round from nothing, its repeat, and the next one: times, memory, scores
	$(BIN)/python -m wheelwork.benchmarks.round

bench-training: $(READY)  ## beside transformers' Trainer and TRL: sample tokens a second, memory, the distance to the limit; whether adapters are as good
	$(BIN)/python -m wheelwork.benchmarks.training
	$(BIN)/python -m wheelwork.benchmarks.training_accuracy

bench-suites: $(READY)  ## items a second of a benchmark through the engine, beside lm-eval's hf backend on the same prompts
	$(BIN)/python -m wheelwork.benchmarks.suites

bench-funnel: $(READY)  ## does filtering help: the base trained on seeds, on raw and on filtered samples; an hour, goes on where it was
	$(BIN)/python -m wheelwork.benchmarks.funnel

bench-focus: $(READY)  ## what to learn from: each focus and order beside plain training; some hours, goes on where it was
	$(BIN)/python -m wheelwork.benchmarks.focus

bench-registry: $(READY)  ## promotions killed anywhere and promotions that race, on a real MLflow database; the time of a rollback
	$(BIN)/python -m wheelwork.benchmarks.registry

bench-canary: $(READY)  ## canaries against chance, beside z-tests: harmful ones that are rolled back, harmless ones that are not
	$(BIN)/python -m wheelwork.benchmarks.canary

bench-drift: $(READY)   ## how often drift is told where questions changed, and where they did not; three minutes
	$(BIN)/python -m wheelwork.benchmarks.drift

bench-serving: $(READY)  ## the gateway before a mock engine: what it adds, what it carries, memory, swaps, kills, webhooks; swaps and kills with llama.cpp
	$(BIN)/python -m wheelwork.benchmarks.serving
	$(BIN)/python -m wheelwork.benchmarks.serving_engines

clean:           ## what was made here: .venv, state, caches
	rm -rf $(VENV) tests/clients/node_modules .wheelwork .types build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: $(READY) $(DEEPSPEED)/.ready  ## write constraints.txt anew from what .venv holds
	(echo "# The full lock: every package of the tested environment, at its version. Made by \`make lock\`."; \
	 $(DEEPSPEED)/bin/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools | sed 's/+cpu//' | sort -f) > constraints.txt
