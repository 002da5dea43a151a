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
.PHONY: help demo test check soak bench lint audit fmt crds golden kube web build clean ci

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a cluster on this machine with two load-balancer nodes (ARGS=--flap: backends come and go); Ctrl-C ends it
	@hack/demo/build
	@exec target/demo/maglev-sandbox up --dir $(DIR) $(ARGS)

# MAGLEV_DASHBOARD_URL=URL: the tests of the page that hold for any server run against that one.
test: kube ## every test: unit tests, a real control plane, the page in a browser (ARGS=filter: Rust tests only)
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace $(ARGS)
	$(if $(ARGS),,hack/web/check)
	$(if $(ARGS),,hack/web/sandbox-check)

check: ## after an edit: formatting, language, clippy and unit tests of the crates that differ from HEAD (ARGS=BASE)
	@hack/lint/check $(ARGS)

soak: kube ## the tests that take minutes: a starved agent, a blocked probe path
	$(CARGO) test --locked -p maglev-tests-wire -p maglev-tests-cluster -- --ignored --nocapture --test-threads=1 soak_

bench: ## the benchmarks (MAGLEV_BENCH_API_SOCKET=PATH: against another VPP)
	$(CARGO) bench --locked -p maglev-benches --benches -- $(ARGS)

lint: ## formatting, language, clippy and docs without warnings, dependencies (licences, bans, sources, unused)
	$(CARGO) fmt --all --check
	hack/lint/language
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet
	"$$(hack/lint/tool cargo-machete 0.9.2)" --skip-target-dir
	"$$(hack/lint/tool cargo-deny 0.20.2)" --locked check bans licenses sources

audit: ## known vulnerabilities and yanked versions of dependencies (reads RustSec's database from the network)
	"$$(hack/lint/tool cargo-deny 0.20.2)" --locked check advisories

fmt: ## format the sources
	$(CARGO) fmt --all

crds: ## write crds/ and the chart's copies from crates/crd
	UPDATE_CRDS=1 $(CARGO) test --locked -p maglev-crd --lib

golden: kube ## write what the golden tests expect (the chart, docs/); review the difference
	UPDATE_GOLDEN=1 $(CARGO) test --locked -p maglev-cli --lib grammar::markdown
	UPDATE_GOLDEN=1 $(CARGO) test --locked -p maglev-tests-cluster -p maglev-tests-docs -- chart::render:: maglevc:: flags::

kube: ## the control plane's binaries, built once into a cache (MAGLEV_KUBE_ASSETS=DIR: take these)
	@hack/kube/build >/dev/null

web: ## build the dashboard's page into web/dist, which is tracked
	cd web && npm ci --silent && npm run --silent build -- --logLevel warn

build: ## the programs, for release
	$(CARGO) build --locked --release -p maglev -p maglev-sandbox --bins

clean: ## remove what was built here and the demo's files; the cache of the control plane stays
	$(CARGO) clean
	rm -rf .demo

ci: ## what CI runs
	.ci/run
