# What one does here, and nothing that CI does otherwise. `make help` lists it.
# Everything needed is fetched by the target that needs it; only rustup (or cargo), make, bash and python3 must be there.

CARGO ?= cargo
# Where `make demo` keeps its cluster; git ignores it.
DIR ?= .demo
# More flags: make demo ARGS=--flap, make test ARGS=some_filter
ARGS ?=

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test soak bench lint fmt crds golden kube web build clean ci

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: kube ## a cluster on this machine with two load-balancer nodes (ARGS=--flap: backends come and go); Ctrl-C ends it
	$(CARGO) build --locked --release --bins
	@exec target/release/maglev-sandbox up --dir $(DIR) $(ARGS)

# MAGLEV_DASHBOARD_URL=URL: what holds of the page on any server is tested against that one.
test: kube ## every test, against a real control plane, and those of the page in a browser (ARGS=filter: of the former only)
	$(CARGO) test --locked $(ARGS)
	$(if $(ARGS),,hack/web/check)
	$(if $(ARGS),,hack/web/sandbox-check)

soak: kube ## the tests that take minutes: a starved agent, a blocked probe path
	$(CARGO) test --locked --test wire --test cluster -- --ignored --nocapture --test-threads=1 soak_

bench: ## the benchmarks (MAGLEV_BENCH_API_SOCKET=PATH: against another VPP)
	$(CARGO) bench --benches -- $(ARGS)

lint: ## formatting, clippy without warnings, no second TLS provider in the tree
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings
	@tree=$$($(CARGO) tree --locked --all-features -e normal,build,dev --prefix none) && ! grep '^aws-lc' <<<"$$tree" \
		|| { echo "TLS is ring alone (two providers make rustls panic), but aws-lc is in the tree" >&2; exit 1; }

fmt: ## format the sources
	$(CARGO) fmt --all

crds: ## write crds/ and the chart's copies from src/crd
	UPDATE_CRDS=1 $(CARGO) test --lib crd::

golden: kube ## write what the golden tests expect (the chart, docs/); review the difference
	UPDATE_GOLDEN=1 $(CARGO) test --lib cli::grammar::markdown
	UPDATE_GOLDEN=1 $(CARGO) test --test cluster --test readme -- chart::render:: maglevc:: flags::

kube: ## the control plane's binaries, built once into a cache (MAGLEV_KUBE_ASSETS=DIR: take these)
	@hack/kube/build >/dev/null

web: ## build the dashboard's page into web/dist, which is tracked
	cd web && npm ci --silent && npm run --silent build -- --logLevel warn

build: ## all binaries, for release
	$(CARGO) build --locked --release --bins

clean: ## remove what was built here and the demo's files; the cache of the control plane stays
	$(CARGO) clean
	rm -rf .demo

ci: ## what CI runs
	.ci/run
