# Two commands do all the set-up on a fresh machine that has only Python 3.11+ and make:
#   make demo   the whole job on synthetic frames, from dropped files to reports
#   make test   everything that CI runs
# A line that ends in '## …' is what `make` alone prints.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# A station wants the CPU build of torch: PyPI's Linux build pulls gigabytes of CUDA.
TORCH := 2.13.0
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

BUNDLE := dist/weldnet-bundle
# A file's tests stay in one process, since they share what is costly to make. tests/conftest.py has the number of
# processes and the order of the files: slow ones first.
WORKERS := --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint bench bigdb schema reference docs bundle deb deb-tools deb-try release sigterm-loop processes-loop chaos care-loop fleet rejudge-loop fuzz soak week loop latency recipes console-keys console-load console-kills console-axe clean

help: ## list the targets
	@awk -F ":.*## " '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## inspect two weeks of synthetic frames and open a report, within a minute
	$(BIN)/python deploy/demo/demo.py

test: lint ## everything that CI runs: static checks and all tests (10 to 15 minutes on 2 cores)
	$(BIN)/python -m pytest $(WORKERS)

# Without the tests that start a server, train or crash a daemon: for the minute after an edit.
test-fast: $(VENV)/.installed ## the quick tests (under 90 seconds on 2 cores)
	$(BIN)/python -m pytest -q $(WORKERS) -m "not slow"

lint: $(VENV)/.installed ## ruff, mypy and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A broken link or any other warning stops the build.
docs: $(VENV)/.installed ## build the documentation as a site, in site/index.html
	$(PIP) install --editable ".[docs]"
	rm -rf site
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --quiet -d $(VENV)/.doctrees docs site
	@echo "Open site/index.html in a browser"

bench: $(VENV)/.installed ## time the int8 file beside fp32 and beside other runtimes (2 minutes on a quiet core)
	$(PIP) install --editable ".[train,bench]"
	$(BIN)/python benchmarks/int8_vs_fp32.py
	$(BIN)/python benchmarks/peers.py

# 1,000,000 inspections on SQLite and 5,000,000 on PostgreSQL, in a temporary folder.
bigdb: $(VENV)/.installed ## time every report on a year of inspections (10 GB, 20 minutes)
	$(BIN)/python benchmarks/quality_database.py

# Needs libfaketime, as tests of a wrong clock do.
week: $(VENV)/.installed ## a scripted week on both back ends: people decide, and every final figure is counted again (5 minutes)
	$(BIN)/python benchmarks/week.py

loop: $(VENV)/.installed ## inspect, decide, learn, compare, put in force, go back: make loop DATA= ACCEPT= STARVED= (10 minutes)
	@test "$(DATA)" -a "$(ACCEPT)" -a "$(STARVED)" || { echo "make loop DATA=FOLDER ACCEPT=CLASS STARVED=CLASS: folders of real frames" >&2; exit 2; }
	$(BIN)/python benchmarks/loop.py --data "$(DATA)" --accept "$(ACCEPT)" --starved "$(STARVED)"

recipes: $(VENV)/.installed ## best over every set in a folder, make recipes DATA=folder, into runs/recipes (a night on 2 cores)
	@test -n "$(DATA)" || { echo "make recipes DATA=FOLDER: a folder with one sub-folder per data set" >&2; exit 2; }
	$(BIN)/python benchmarks/recipes.py "$(DATA)" --out runs/recipes --jobs 2

schema: $(VENV)/.installed ## write sql/schema.*.sql from the models
	$(BIN)/python sql/write_schema.py

reference: $(VENV)/.installed ## write docs/reference from the code
	$(BIN)/python docs/reference_pages.py

# Everything that a station without a network needs: the wheels of this program and of its dependencies, for this
# machine's Python and processor, and the files to install. INSTALL.md in the bundle says how.
bundle: $(VENV)/.installed ## pack all that a station without a network needs into one .tar
	rm -rf $(BUNDLE) $(BUNDLE).tar
	mkdir -p $(BUNDLE)/wheelhouse
	$(PIP) wheel --no-deps --wheel-dir $(BUNDLE)/wheelhouse .
	$(PIP) download --no-deps --dest $(BUNDLE)/wheelhouse "torch==$(TORCH)+cpu" 2>/dev/null \
	  || $(PIP) download --no-deps --dest $(BUNDLE)/wheelhouse "torch==$(TORCH)" --index-url $(TORCH_CPU_INDEX)
	$(PIP) download --dest $(BUNDLE)/wheelhouse --find-links $(BUNDLE)/wheelhouse "weldnet-station[postgres,console]" pip
	cp deploy/INSTALL.md deploy/*.service deploy/*.timer deploy/*.socket deploy/*.conf deploy/*.yaml deploy/*.json sql/roles.sql $(BUNDLE)
	cp -r docs $(BUNDLE)/docs
	cd $(BUNDLE) && find . -type f ! -name SHA256SUMS | sort | xargs sha256sum > SHA256SUMS
	tar --create --file $(BUNDLE).tar --directory dist weldnet-bundle
	@du -sh $(BUNDLE).tar

# For the Debian of this machine and its /usr/bin/python3, from the wheels of the bundle. Needs the package debhelper, and
# no compiler, which dpkg-buildpackage would ask for.
MINOR := -c 'import sys; print(sys.version_info[1])'
deb-tools: $(VENV)/.installed
	@command -v dh >/dev/null || { echo "make deb: apt install debhelper" >&2; exit 2; }
	@test "$$($(BIN)/python $(MINOR))" = "$$(/usr/bin/python3 $(MINOR))" \
	  || { echo "make deb: $(VENV) is not of /usr/bin/python3: make clean, then make deb PYTHON=/usr/bin/python3" >&2; exit 2; }

deb: deb-tools bundle ## pack the station as a Debian package, into dist/
	$(PIP) install --editable ".[release]"
	rm -rf build/deb && mkdir -p build/deb
	cp -r $(BUNDLE)/. build/deb
	cp -r deploy/debian build/deb/debian
	printf 'weldnet-station (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' \
	  "$$($(BIN)/weld-inspect --version | cut -d' ' -f2)" \
	  "$$(sed -n 's/^Maintainer: //p' deploy/debian/control)" "$$(date -R)" >build/deb/debian/changelog
	cd build/deb && UV=$(abspath $(BIN)/uv) dpkg-buildpackage --build=binary --no-sign --no-check-builddeps
	dpkg-deb --info build/weldnet-station_*.deb postinst | grep --quiet weldnet-inspector.service # debhelper saw the units
	rm -f dist/weldnet-station_*.deb
	mv build/weldnet-station_*.deb dist/
	@ls -sh dist/*.deb

# Needs root and the package mmdebstrap. The root is in TMPDIR: in memory (/dev/shm) it takes half the time and 2 GB.
deb-try: $(VENV)/.installed ## install, upgrade, remove and purge the package of dist/ in a clean Debian
	@command -v mmdebstrap >/dev/null || { echo "make deb-try: apt install mmdebstrap" >&2; exit 2; }
	@ls dist/weldnet-station_*.deb || $(MAKE) deb
	rm -rf build/try && mkdir -p build/try
	cp dist/weldnet-station_*.deb deploy/debian/walk.sh build/try
	$(BIN)/weld-train synth --out build/try/frames --count 12
	mmdebstrap --variant=apt --customize-hook='mkdir "$$1/try"' --customize-hook='sync-in build/try /try' \
	  --customize-hook='timeout 1800 chroot "$$1" sh /try/walk.sh' "$$(. /etc/os-release && echo $$VERSION_CODENAME)" /dev/null

# What a release is made of, checked and tried. It is signed if gpg has a secret key here; nothing is published.
release: $(VENV)/.installed ## build, check and try sdist and wheel, with checksums, into dist/release
	$(PIP) install --editable ".[release]"
	rm -rf dist/release && mkdir -p dist/release dist/torch
	$(BIN)/python -m build --outdir dist/release
	$(BIN)/twine check --strict dist/release/*
	$(PIP) download --no-deps --dest dist/torch "torch==$(TORCH)+cpu" 2>/dev/null \
	  || $(PIP) download --no-deps --dest dist/torch "torch==$(TORCH)" --index-url $(TORCH_CPU_INDEX)
	$(BIN)/python deploy/try_wheel.py dist/release/*.whl --torch dist/torch
	cd dist/release && sha256sum * >SHA256SUMS
	@if gpg --list-secret-keys 2>/dev/null | grep -q .; \
	then gpg --armor --detach-sign dist/release/SHA256SUMS; \
	else echo "Not signed: gpg has no secret key here; gpg --armor --detach-sign dist/release/SHA256SUMS"; fi
	@ls -sh dist/release

sigterm-loop: $(VENV)/.installed ## SIGTERM to a loaded station, 50 times: exit 0 within 10 s, nothing lost
	$(BIN)/python benchmarks/sigterm_loop.py

processes-loop: $(VENV)/.installed ## train with two processes 100 times: each ends with status 0 (20 minutes)
	$(BIN)/python benchmarks/processes_loop.py

# The mounts need root. A failing leg prints the command that repeats it.
chaos: $(VENV)/.installed ## kill -9, database restarts, full disks, lost mounts, odd and hostile cameras, wrong clocks (over an hour)
	$(BIN)/python benchmarks/chaos.py

care-loop: $(VENV)/.installed ## kill -9 to prune and requeue 200 times per back end, beside a daemon at work
	$(BIN)/python benchmarks/care_loop.py --backend sqlite
	$(BIN)/python benchmarks/care_loop.py --backend postgresql

# Installs Ray (350 MB on disk), which no other target needs.
rejudge-loop: $(VENV)/.installed ## rejudge 20,000 images, killed 20 times on each engine; its speed and its memory
	$(PIP) install --editable ".[ray]"
	$(BIN)/python -m pytest -q tests/upkeep/test_rejudge_ray.py
	$(BIN)/python benchmarks/rejudge.py

shadow-day: $(VENV)/.installed ## 10,000 images with a shadow and 10,000 without: verdicts as fast, and its report counted again
	$(BIN)/python benchmarks/shadow.py

fleet: $(VENV)/.installed ## many stations forward to one PostgreSQL: backlog, kills, crashes; every row there once (minutes)
	$(BIN)/python benchmarks/fleet.py

console-keys: $(VENV)/.installed ## review 500 images by keys alone: time from a key to the next image, and every row counted
	$(BIN)/python benchmarks/console_keys.py

fuzz: $(VENV)/.installed ## 12,000 damaged images through a real station: each accounted for, none judged in part
	$(BIN)/python benchmarks/fuzz.py

soak: $(VENV)/.installed ## 100,000 frames through one daemon: memory, handles and throughput, drawn to soak.png
	$(BIN)/python benchmarks/soak.py

latency: $(VENV)/.installed ## 1,000 files, one at a time: from the close to the committed row (on a quiet machine)
	$(BIN)/python benchmarks/latency.py

console-load: $(VENV)/.installed ## time inspections beside a console with hostile clients, in turns (3 minutes, on a quiet machine)
	$(BIN)/python benchmarks/console_load.py

console-kills: $(VENV)/.installed ## kill -9 to the console 50 times while verdicts stream in: none lost, none twice
	$(BIN)/python benchmarks/console_kills.py --backend sqlite
	$(BIN)/python benchmarks/console_kills.py --backend postgresql

# Needs npm, Chromium and a network.
console-axe: $(VENV)/.installed ## let axe-core judge every page of the console
	$(BIN)/python benchmarks/console_axe.py

# Tries the CPU build of the configured index, then that of PyTorch's own index, then any build.
$(VENV)/.installed: pyproject.toml
	@echo "Installing into $(VENV) (a few minutes, once) ..."
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "torch==$(TORCH)+cpu" 2>/dev/null \
	  || $(PIP) install "torch==$(TORCH)" --index-url $(TORCH_CPU_INDEX) \
	  || $(PIP) install "torch==$(TORCH)"
	$(PIP) install --editable ".[train,postgres,console,dev]"
	@touch $@

clean: ## remove the environment, runs and caches
	rm -rf $(VENV) demo runs dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
