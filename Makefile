# Everything runs in .venv, which is built from requirements.lock when it is missing.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
# What is imported is compiled once, not in each process.
unexport PYTHONDONTWRITEBYTECODE
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
SOURCES := ae_models transforms pipelines benchmarks deploy docs/tools tests setup.py

.PHONY: help locked demo test test-all long-test flink-up flink-test flink-down engines-test lint types format bench bench-flink
.PHONY: browser-test bench-clusters bench-report faults fuzz scoreboard docs reference pictures dist lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# The lock is complete. An installer that also resolved could find a newer release through another
# package's extras, and the lock has no hash of that. uv, also in the lock, takes a quarter of pip's
# time, but does not read pip's configuration: the index is passed to it, and pip is the fallback.
$(LOCKED): requirements.lock
	$(PYTHON) -m venv --clear $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(VENV)/uv.txt
	export UV_DEFAULT_INDEX="$$($(BIN)/python -m pip config list | \
		sed -n "s/^[^=]*\.index-url='\(.*\)'$$/\1/p" | head -n 1)"; \
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python \
		--no-deps --require-hashes -r requirements.lock || \
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	touch $@

locked: $(LOCKED) ## only what the lock holds, in VENV, without latentbeam itself

$(READY): $(LOCKED) pyproject.toml setup.py
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY) ## from images to a report, on 600 drawn pictures of parts
	$(BIN)/latentbeam demo

test: $(READY) ## the tests, slow ones left out, in two processes
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-all: $(READY) ## the slow tests too
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not long and not engines and not browser"

long-test: $(READY) ## every crash, 10,000 names: what the slow tests draw from (an hour)
	$(BIN)/python -m pytest -s -m long

flink-up: $(READY) ## a Flink cluster on this machine (Java 17, Maven); prints the flags that choose it
	$(BIN)/python -m deploy.local.flink_cluster up

flink-test: flink-up ## the tests on that cluster; DATA=FOLDER to score the MNIST in it
	LATENTBEAM_DATA="$(DATA)" $(BIN)/python -m pytest -m engines tests/engines/test_flink.py

engines-test: flink-up ## the same rows from the local engine, Prism (Go), Flink and Spark
	LATENTBEAM_DATA="$(DATA)" $(BIN)/python -m pytest -m engines tests/engines

flink-down: $(READY) ## stop the cluster
	$(BIN)/python -m deploy.local.flink_cluster down

browser-test: $(READY) ## the report and the documentation in Chromium (apt-get install chromium chromium-driver)
	$(BIN)/python -m pytest -m browser tests/browser

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(READY) ## mypy
	$(BIN)/mypy ae_models transforms pipelines benchmarks deploy/local
	$(BIN)/mypy -p docs.tools

format: $(READY) ## ruff: fix what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(READY) ## speed and memory beside what a good user would write (an hour), then docs/reference/performance.md
	$(BIN)/python -m benchmarks.performance --page docs/reference/performance.md

bench-flink: $(READY) ## the same of one Flink TaskManager with two slots beside two local worker processes
	$(BIN)/python -m deploy.local.flink_cluster down
	$(BIN)/python -m deploy.local.flink_cluster up --task_managers 1
	$(BIN)/python -m benchmarks.performance --flink --page docs/reference/performance.md
	$(BIN)/python -m deploy.local.flink_cluster down

bench-clusters: $(READY) ## a million latents in clusters, by each method (half an hour), then docs/how-to/clusters.md
	$(BIN)/python -m benchmarks.clustering --page docs/how-to/clusters.md

bench-report: $(READY) ## the report of 100,000 records: its bytes, seconds to open, then docs/how-to/report.md
	$(BIN)/python -m benchmarks.report_page --page docs/how-to/report.md

faults: $(READY) ## runs that are killed, starved, fed bad records (half an hour), then docs/reference/reliability.md
	$(BIN)/python -m benchmarks.reliability --page docs/reference/reliability.md

fuzz: $(READY) ## mutated images, files and bundles (half an hour); FUZZ="--seconds 60 --seed 1" for less
	$(BIN)/python -m tests.fuzz $(FUZZ)

scoreboard: $(READY) ## measure missing rows on the data in DATA=FOLDER (hours), then docs/reference/scoreboard.md
	$(BIN)/python -m benchmarks.quality --data "$(DATA)"
	$(BIN)/python -m benchmarks.quality --data "$(DATA)" --page docs/reference/scoreboard.md

docs: $(READY) ## the documentation's site, without a network: site/index.html
	$(BIN)/python -m docs.tools.reference --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

reference: $(READY) ## pages of docs/reference that follow from the code
	$(BIN)/python -m docs.tools.reference

pictures: demo ## docs/images, from the demo and Chromium (apt-get install chromium chromium-driver)
	$(BIN)/python -m docs.tools.pictures latentbeam-demo

dist: $(READY) ## sdist and wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation

lock: $(READY) ## resolve the newest versions that pyproject.toml allows
	$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --no-header \
		--python-version 3.11 --extra dev pyproject.toml -o requirements.lock

clean: ## everything that can be built again
	rm -rf $(VENV) build dist site *.egg-info latentbeam-demo
