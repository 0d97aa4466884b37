# The entry to everything. A newcomer needs only `make run` and `make test`; each installs what is missing, and says so.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PRESET ?= dev
JOBS ?= $(shell nproc)
CACHE := $(or $(MINERVA_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/minerva)
export MINERVA_CACHE := $(CACHE)
# With this a clone in another place finds what was compiled before.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

.PHONY: help run install ui test-ui build engine engine-vulkan engine-cuda test-devices configure test check fmt sim cachesim coverage fuzz soak parktest distros verify bench bench-cluster campaign-cluster test-cluster cluster-demo package try-package setup setup-tests demo-models clean

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## install missing packages (says which)
	@tools/setup.sh build

setup-tests: setup ## install what only the tests need
	@tools/setup.sh tests

engine: setup ## minerva-engine and the stock llama-server, cached outside the tree
	@tools/build_engine.sh build/bin

engine-vulkan: setup ## minerva-engine-vulkan: models on GPUs by Vulkan; about 15 minutes, once per machine
	@tools/setup.sh vulkan
	@tools/build_engine.sh --variant vulkan build/bin

engine-cuda: setup ## minerva-engine-cuda: models on GPUs of NVIDIA; needs nvcc
	@tools/build_engine.sh --variant cuda build/bin

ui: setup ## llama.cpp's web UI for /chat/, cached outside the tree (Node 20 or later; minutes, once per machine)
	@tools/build_ui.sh build/bin

build: setup ## minerva and minerva-engine in build/bin/
	@tools/build_engine.sh --engine-only build/bin
	@cmake --preset release -DMINERVA_TESTS=OFF >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build build/release -j $(JOBS) --target minerva
	@cp -f build/release/bin/minerva build/release/bin/minerva-launcher build/bin/
	@echo "==> built: build/bin/minerva"

PREFIX ?= /usr/local
install: build ## programs, library, man page and completions under PREFIX (/usr/local)
	@cmake --build build/release -j $(JOBS)
	@cmake --install build/release --prefix $(PREFIX)

package: build ## a Debian package with an engine for each level of x86-64: build/package/*.deb
	@tools/setup.sh package
	@tools/package.sh

try-package: package demo-models ## install the package in a bare Debian 12, serve, park, kill, remove (root)
	@tools/try_package.sh

demo-models: setup ## the two demo models, hashes checked
	@tools/fetch_demo_models.sh

run: build demo-models ## serve the demo models on 127.0.0.1:3000
	@tools/run_demo.sh

configure: setup-tests
	@mkdir -p build && cmake --preset $(PRESET) >build/configure-$(PRESET).log 2>&1 || { cat build/configure-$(PRESET).log; exit 1; }

test: configure engine demo-models ## all tests (PRESET=asan or tsan for a sanitizer)
	@cmake --build build/$(PRESET) -j $(JOBS)
	@ctest --test-dir build/$(PRESET) --output-on-failure -j $(JOBS)

test-devices: configure engine engine-vulkan ## models on a device, which is this processor (Mesa's lavapipe)
	@cmake --build build/$(PRESET) -j $(JOBS) --target minerva vulkan_driver
	@tools/setup.sh devices
	@MINERVA_BIN=$(CURDIR)/build/$(PRESET)/bin/minerva MINERVA_BIN_DIR=$(CURDIR)/build/bin MINERVA_E2E_MODELS=$(CURDIR)/build/e2e-models tests/e2e/devices/run.sh $(ARGS)

test-cluster: configure engine ## the cluster on Ray Serve: ruff, mypy, tests with real daemons (installs Ray, half a gigabyte, once)
	@cmake --build build/$(PRESET) -j $(JOBS) --target minerva
	@MINERVA_BIN=$(CURDIR)/build/$(PRESET)/bin/minerva MINERVA_BIN_DIR=$(CURDIR)/build/bin MINERVA_E2E_MODELS=$(CURDIR)/build/e2e-models cluster/test.sh $(ARGS)

cluster-demo: build demo-models ## four emulated nodes with the demo models on 127.0.0.1:8000, and how to kill one
	@MINERVA_BIN_DIR=$(CURDIR)/build/bin MINERVA_DEMO_MODELS=$(CACHE)/models PYTHONPATH=$(CURDIR)/cluster $$(cluster/setup.sh | tail -n 1)/bin/python -B -m minerva_cluster.demo

bench-cluster: engine build setup-tests ## the cluster beside round-robin and beside Ray Serve's own multiplexing
	@MINERVA_BIN=$(CURDIR)/build/bin/minerva MINERVA_BIN_DIR=$(CURDIR)/build/bin MINERVA_E2E_MODELS=$(CURDIR)/build/e2e-models PYTHONPATH=$(CURDIR)/cluster $$(cluster/setup.sh | tail -n 1)/bin/python -B bench/cluster.py

campaign-cluster: configure engine ## kills in a cluster under load, and a rolling restart: CLUSTER_KILLS=n (200)
	@cmake --build build/$(PRESET) -j $(JOBS) --target minerva
	@MINERVA_BIN=$(CURDIR)/build/$(PRESET)/bin/minerva MINERVA_BIN_DIR=$(CURDIR)/build/bin MINERVA_E2E_MODELS=$(CURDIR)/build/e2e-models PYTHONPATH=$(CURDIR)/cluster $$(cluster/setup.sh | tail -n 1)/bin/python -B tests/campaigns/cluster.py

test-ui: configure engine ui ## the web UI in a browser, against real engines
	@cmake --build build/$(PRESET) -j $(JOBS) --target minerva
	@tools/setup.sh ui
	@MINERVA_BIN=$(CURDIR)/build/$(PRESET)/bin/minerva MINERVA_UI_DIR=$(CURDIR)/build/bin/ui tests/e2e/web_ui/run.sh

check: ## format, include directions, wording, clang-tidy (file by file, so that each includes what it needs)
	@$(MAKE) --no-print-directory configure PRESET=check
	@tools/check.sh build/check

fmt: ## format every source
	@git ls-files -co --exclude-standard '*.cc' '*.h' | xargs clang-format-19 -i

SEED ?= 1
SEEDS ?= 20000
sim: configure ## simulate the core: SEED=n first seed, SEEDS=n how many (SEEDS=1 prints the whole schedule)
	@cmake --build build/$(PRESET) -j $(JOBS) --target minerva_sim
	@build/$(PRESET)/bin/minerva_sim --first $(SEED) --seeds $(SEEDS) $(if $(filter 1,$(SEEDS)),--verbose)

TRACE ?=
cachesim: setup ## compare eviction policies on TRACE=file.csv, or on a generated trace; ARGS="--timed --capacity 10,20"
	@mkdir -p build && cmake --preset release -DMINERVA_TESTS=OFF >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build build/release -j $(JOBS) --target cachesim
	@$(if $(TRACE),,build/release/bin/cachesim generate >build/generated.csv)
	@build/release/bin/cachesim replay $(or $(TRACE),build/generated.csv) $(ARGS)

FUZZ_SECONDS ?= 60
coverage: setup-tests ## lines and branches of cache, context and api that unit and simulation tests reach
	@JOBS=$(JOBS) tools/coverage.sh

fuzz: setup-tests ## fuzz everything that parses: FUZZ_SECONDS=n for each target (60)
	@mkdir -p build && cmake --preset fuzz >build/configure-fuzz.log 2>&1 || { cat build/configure-fuzz.log; exit 1; }
	@cmake --build build/fuzz -j $(JOBS) --target fuzz_targets
	@tools/fuzz.sh $(FUZZ_SECONDS)

soak: configure engine ## crowd, evictions, clients that leave, engines that are killed: SOAK_SECONDS=n (300)
	@cmake --build build/$(PRESET) -j $(JOBS) --target minerva
	@MINERVA_BIN=$(CURDIR)/build/$(PRESET)/bin/minerva python3 -B tests/campaigns/soak.py

DEVICE ?=
parktest: setup-tests engine $(if $(DEVICE),engine-vulkan) ## park and wake engines of every architecture, and one of them 10,000 times; DEVICE=Vulkan0: there
	@MINERVA_BIN_DIR=$(CURDIR)/build/bin PARKING_DEVICE=$(DEVICE) $(if $(DEVICE),tests/e2e/devices/environment.sh) python3 -B tests/campaigns/parking.py

distros: ## set-up, build and unit tests in bare trees of Debian 12 and 13 (root): RELEASES="trixie" for one of them
	@tools/distros.sh $(RELEASES)

verify: setup-tests engine demo-models ## what takes longer than a test should; PARTS="soak fuzz" for some of it
	@tools/verify.sh $(PARTS)

bench: engine build setup-tests demo-models ## side by side with the bare engine and the stock router, as ratios
	@python3 bench/bench.py

clean: ## remove the build folder (caches outside the tree stay)
	@rm -rf build
