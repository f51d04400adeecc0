# Everything a user or a developer does with gbproxy; `make help` lists it. Needs Python 3.11 or newer, and nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo run test test-slow check compiled lint types imports cover format lock docs docs-settings console-texts screenshots bench bench-check dist audit sbom kubernetes-schemas docker-build docker-run docker-check ci-deps clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

demo: $(VENV)/demo ## the gateway in front of the bundled simulator, and one streamed answer (PORT, DEMO_EXIT=1)
	@$(BIN)/gbproxy demo

run: $(VENV)/run ## the gateway for your own accounts: settings from the environment, or from .env
	@exec $(BIN)/gbproxy serve $(if $(wildcard .env),--env-file .env)

test: $(VENV)/dev ## install what tests need, and run them, but for the slow ones
	@$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow'

test-slow: $(VENV)/dev ## the tests that work for many seconds: mixtures, rushes, endurance
	@$(BIN)/python -m pytest -n auto --dist worksteal -m slow

check: lint imports ## what must hold before a change lands: lint, types, import rules, tests
	@$(MAKE) --no-print-directory -j2 types compiled
	@$(MAKE) --no-print-directory test

# Each process of pytest would compile all tests, 20 s for each; mypy leaves a processor free meanwhile.
compiled: $(VENV)/dev
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --collect-only -qq >/dev/null || true # `test` says what is wrong

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/vulture
	$(BIN)/deptry .
	$(BIN)/zizmor --offline --persona pedantic --quiet .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jactionlint

types: $(VENV)/dev
	$(BIN)/mypy

imports: $(VENV)/dev
	$(BIN)/lint-imports --no-logo

cover: $(VENV)/dev ## which lines the tests in one process reach (slow)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -m "not waits" --ignore tests/flow --ignore tests/container
	@$(BIN)/coverage report

format: $(VENV)/dev ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/bin/python ## compile requirements*.in into locks with hashes
	$(PIP) uv
	for name in requirements requirements-demo requirements-otel requirements-dev requirements-bench requirements-clients requirements-docs requirements-release; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
			--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
			$$name.in --output-file $$name.txt || exit 1; done

DOCS := .venv-docs

docs: $(DOCS)/ready ## the documentation as a site in site/; a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --clean

docs-settings: $(VENV)/dev ## write docs/settings.md out of the code
	@PYTHONPATH=. $(BIN)/python docs/settings_page.py

console-texts: $(VENV)/dev ## bring the console's catalogues up to its texts
	@PYTHONPATH=. $(BIN)/python docs/console_texts.py

screenshots: $(VENV)/dev ## take the pictures of the console in docs/img anew (needs Chromium: make ci-deps)
	@SCREENSHOTS=1 $(BIN)/python -m pytest -q tests/browser/test_every_page.py -k screenshots

CLIENTS := .venv-clients

BENCH := .venv-bench

bench: $(BENCH)/ready ## what gbproxy costs, next to nginx, the bare recipe and FastAPI (about 14 minutes; ARGS="--loads short", DOC=1)
	@$(BENCH)/bin/python -m bench $(ARGS) $(if $(DOC),--document)

bench-check: $(BENCH)/ready ## fail when gbproxy has become more than 30 % dearer (about two minutes; UPDATE=1 accepts)
	@$(BENCH)/bin/python -m bench check $(if $(UPDATE),--update)

# The container. An engine counts when it answers; ENGINE names another one.
IMAGE ?= gbproxy
FIND_ENGINE = engine=$${ENGINE:-$$(for name in docker podman; do $$name info >/dev/null 2>&1 && { echo $$name; break; }; done)}; \
	test -n "$$engine" || { echo 'No container engine answers here: neither docker nor podman.' >&2; exit 1; }
# .env's port, and .env's time for answers to finish (or the defaults) with some seconds to spare
PUBLISHED = $(or $(PORT),$(shell awk -F '[="\047\r]+' '$$1 == "PORT" && $$2 {p = $$2} END {print p}' p=8080 $(wildcard .env) /dev/null))
STOP_TIMEOUT = $(shell awk -F '[="\047\r]+' '$$1 == "GRACEFUL_TIMEOUT_S" && $$2 != "" {g = $$2} $$1 == "DRAIN_DELAY_S" && $$2 != "" {d = $$2} \
	END {print int(g + d + 15)}' g=120 d=1 $(wildcard .env) /dev/null)

docker-build: ## the container image (IMAGE=gbproxy)
	@$(FIND_ENGINE); set -x; $$engine build $$(case $$engine in *podman*) echo --format=docker;; esac) --tag $(IMAGE) \
		--label org.opencontainers.image.version=$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' gbproxy/version.py) \
		--label org.opencontainers.image.revision=$(shell git rev-parse --short HEAD 2>/dev/null) .

docker-run: ## the container, with .env's settings, on PORT (DOCKER_ARGS="-e NAME=value")
	@$(FIND_ENGINE); $$engine image inspect $(IMAGE) >/dev/null 2>&1 || { echo 'There is no image $(IMAGE): make docker-build' >&2; exit 1; }; \
	exec $$engine run --rm --pull=never --read-only --tmpfs /tmp --cap-drop=ALL --security-opt=no-new-privileges \
		--stop-timeout $(STOP_TIMEOUT) $(if $(wildcard .env),--env-file .env) -e HOST=0.0.0.0 -e PORT=8080 -p $(PUBLISHED):8080 $(DOCKER_ARGS) $(IMAGE)

docker-check: ## the image, built and tried with buildah alone: no engine, no registry (apt: buildah runc debootstrap)
	@$(PYTHON) tests/container/docker_check.py

RELEASE := .venv-release

dist: $(RELEASE)/ready ## the package, wheel and sdist, into dist/
	@$(RELEASE)/bin/python -m build --no-isolation --outdir dist .

audit: $(RELEASE)/ready ## ask whether the locked packages have known weaknesses (it needs the network)
	@for name in requirements*.txt; do echo "$$name"; \
		$(RELEASE)/bin/pip-audit --disable-pip --require-hashes --progress-spinner=off -r $$name || exit 1; done

sbom: $(RELEASE)/ready ## what the gateway is made of, as CycloneDX: dist/gbproxy.cdx.json
	@rm -rf $(RELEASE)/made && $(PYTHON) -m venv --without-pip $(RELEASE)/made && mkdir -p dist
	@$(RELEASE)/bin/pip --python $(RELEASE)/made/bin/python install --quiet --require-hashes -r requirements.txt
	@$(RELEASE)/bin/pip --python $(RELEASE)/made/bin/python install --quiet --no-deps --no-build-isolation .
	@$(RELEASE)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
		--output-format JSON --output-file dist/gbproxy.cdx.json $(RELEASE)/made/bin/python

kubernetes-schemas: ## fetch what several versions of Kubernetes accept, for the tests of conf/kubernetes
	@$(PYTHON) tests/container/kubernetes_schemas.py

NODE_CLIENTS := tests/clients/node

ci-deps: ## what tests need beyond their environment: curl, nginx, pgbouncer, Chromium, systemd and Node by apt, and further clients
	@missing=$$(PATH="$$PATH:/usr/sbin"; for name in curl nginx pgbouncer chromium node npm systemd-analyze; do \
		command -v $$name >/dev/null || echo $$name; done | sed 's/^nginx$$/nginx-light/; s/^node$$/nodejs/; s/^systemd-.*/systemd/'); \
	test -z "$$missing" || { sudo=$$(test "$$(id -u)" = 0 || echo sudo); \
		$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$missing; }
	@$(MAKE) --no-print-directory $(NODE_CLIENTS)/node_modules/.package-lock.json $(CLIENTS)/ready

$(NODE_CLIENTS)/node_modules/.package-lock.json: $(NODE_CLIENTS)/package-lock.json
	@cd $(NODE_CLIENTS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

clean: ## forget the virtual environment and every cache
	rm -rf $(VENV) $(BENCH) $(CLIENTS) $(DOCS) $(RELEASE) $(NODE_CLIENTS)/node_modules site bench/build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'gbproxy needs Python 3.11 or newer, and none was found: set PYTHON=/path/to/python3' >&2; exit 1; }
	@echo 'Making $(VENV) with $(PYTHON) …'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'Python cannot make a virtual environment: on Debian and Ubuntu, apt install python3-venv' >&2; exit 1; }

# The benchmark's own environment: the gateways that are measured run in it, with the versions of requirements.txt.
$(BENCH)/ready: requirements-bench.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo 'gbproxy needs Python 3.11 or newer, and none was found: set PYTHON=/path/to/python3' >&2; exit 1; }
	@echo 'Making $(BENCH) with $(PYTHON) …'
	@$(PYTHON) -m venv --clear $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Clients for Python in an older major, which tests try beside those in $(VENV).
$(CLIENTS)/ready: requirements-clients.txt
	@test -n "$(PYTHON)" || { echo 'gbproxy needs Python 3.11 or newer, and none was found: set PYTHON=/path/to/python3' >&2; exit 1; }
	@echo 'Making $(CLIENTS) with $(PYTHON) …'
	@$(PYTHON) -m venv --clear $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# The site's own environment: nothing of the gateway runs in it.
$(DOCS)/ready: requirements-docs.txt
	@test -n "$(PYTHON)" || { echo 'gbproxy needs Python 3.11 or newer, and none was found: set PYTHON=/path/to/python3' >&2; exit 1; }
	@echo 'Making $(DOCS) with $(PYTHON) …'
	@$(PYTHON) -m venv --clear $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# What makes and looks through a release, away from what the gateway needs.
$(RELEASE)/ready: requirements-release.txt
	@test -n "$(PYTHON)" || { echo 'gbproxy needs Python 3.11 or newer, and none was found: set PYTHON=/path/to/python3' >&2; exit 1; }
	@echo 'Making $(RELEASE) with $(PYTHON) …'
	@$(PYTHON) -m venv --clear $(RELEASE)
	@$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# One stamp for each set of packages; each is made anew when its lock changes.
$(VENV)/run: requirements.txt pyproject.toml | $(BIN)/python
$(VENV)/demo: requirements-demo.txt pyproject.toml | $(BIN)/python
$(VENV)/dev: requirements-dev.txt pyproject.toml | $(BIN)/python
$(VENV)/run $(VENV)/demo $(VENV)/dev:
	@echo 'Installing $< …'
	@$(PIP) --require-hashes -r $<
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@
