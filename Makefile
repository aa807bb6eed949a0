# Two commands do all the set-up on a fresh machine that has only Python 3.11+ and make:
#   make demo   the whole job on synthetic frames, from dropped files to reports
#   make test   everything that CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# A station wants the CPU build of torch: PyPI's Linux build pulls gigabytes of CUDA.
TORCH := 2.13.0
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

BUNDLE := dist/weldnet-bundle

.PHONY: demo test lint bench bigdb schema bundle sigterm-loop chaos care-loop fuzz soak latency clean

demo: $(VENV)/.installed
	$(BIN)/python deploy/demo/demo.py

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The int8 file beside fp32, and beside other runtimes: 1 minute each on a quiet core
bench: $(VENV)/.installed
	$(PIP) install --editable ".[train,bench]"
	$(BIN)/python benchmarks/int8_vs_fp32.py
	$(BIN)/python benchmarks/peers.py

# A year of inspections in a temporary folder: 1,000,000 on SQLite, 5,000,000 on PostgreSQL (some 10 GB, 20 minutes)
bigdb: $(VENV)/.installed
	$(BIN)/python benchmarks/quality_database.py

# The DDL for people, from the models
schema: $(VENV)/.installed
	$(BIN)/python sql/write_schema.py

# Everything that a station without a network needs: the wheels of this program and of all it stands on, for this
# machine's Python and processor, and the files to install. INSTALL.md in it says how.
bundle: $(VENV)/.installed
	rm -rf $(BUNDLE) $(BUNDLE).tar
	mkdir -p $(BUNDLE)/wheelhouse
	$(PIP) wheel --no-deps --wheel-dir $(BUNDLE)/wheelhouse .
	$(PIP) download --no-deps --dest $(BUNDLE)/wheelhouse "torch==$(TORCH)+cpu" 2>/dev/null \
	  || $(PIP) download --no-deps --dest $(BUNDLE)/wheelhouse "torch==$(TORCH)" --index-url $(TORCH_CPU_INDEX)
	$(PIP) download --dest $(BUNDLE)/wheelhouse --find-links $(BUNDLE)/wheelhouse "weldnet-station[postgres]" pip
	cp deploy/INSTALL.md deploy/*.service deploy/*.timer deploy/*.conf deploy/*.yaml deploy/*.json sql/roles.sql $(BUNDLE)
	cd $(BUNDLE) && find . -type f ! -name SHA256SUMS | sort | xargs sha256sum > SHA256SUMS
	tar --create --file $(BUNDLE).tar --directory dist weldnet-bundle
	@du -sh $(BUNDLE).tar

# SIGTERM to a loaded station, 50 times: each exit 0 within 10 s, nothing lost.
sigterm-loop: $(VENV)/.installed
	$(BIN)/python benchmarks/sigterm_loop.py

# kill -9, database restarts, full disks, lost mounts and odd cameras, each many times: nothing lost, nothing twice.
# About an hour; the mounts need root. A failing leg says how to do it again.
chaos: $(VENV)/.installed
	$(BIN)/python benchmarks/chaos.py

# kill -9 to prune and requeue 200 times on each back end, beside a daemon at work: nothing lost, nothing twice.
care-loop: $(VENV)/.installed
	$(BIN)/python benchmarks/care_loop.py --backend sqlite
	$(BIN)/python benchmarks/care_loop.py --backend postgresql

# 12,000 damaged images through a real station: no crash, no hang, each accounted for, none judged in part.
fuzz: $(VENV)/.installed
	$(BIN)/python benchmarks/fuzz.py

# 100,000 frames through one daemon: memory, handles, threads and throughput, drawn to soak.png.
soak: $(VENV)/.installed
	$(BIN)/python benchmarks/soak.py

# 1,000 files, one at a time: from the close to the committed row. On a quiet machine, if it is to mean anything.
latency: $(VENV)/.installed
	$(BIN)/python benchmarks/latency.py

# CPU build first where the configured index offers one, then PyTorch's own CPU index, then whatever there is.
$(VENV)/.installed: pyproject.toml
	@echo "Installing into $(VENV) (a few minutes, once) ..."
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "torch==$(TORCH)+cpu" 2>/dev/null \
	  || $(PIP) install "torch==$(TORCH)" --index-url $(TORCH_CPU_INDEX) \
	  || $(PIP) install "torch==$(TORCH)"
	$(PIP) install --editable ".[train,postgres,dev]"
	@touch $@

clean:
	rm -rf $(VENV) demo runs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
