# The targets that developers and CI use. `make help` lists them.
# Each target fetches what it needs. Only rustup (or cargo), a C compiler, make, bash and python3 must be installed.

CARGO ?= cargo
# Directory of the cluster of `make demo`, ignored by git.
DIR ?= .demo
# Seed of make simulate.
SEED ?= 0
# Additional flags: make demo ARGS=--flap, make test ARGS=some_filter
ARGS ?=

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test slowest check simulate soak bench lint audit fmt crds contract golden kube web build clean ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run a cluster with two load-balancer nodes on this machine until Ctrl-C (ARGS=--flap: backends fail and recover)
	@hack/demo/build
	@exec target/demo/maglev-sandbox up --dir $(DIR) $(ARGS)

# MAGLEV_DASHBOARD_URL=URL: the tests of the page that hold for any server run against that one.
test: kube ## run every test: unit tests, a real control plane, the page in a browser (ARGS=filter: Rust tests only)
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace $(ARGS)
	$(if $(ARGS),,hack/web/check)
	$(if $(ARGS),,hack/web/sandbox-check)

slowest: kube ## run the Rust tests and list the 20 that take longest (ARGS=filter)
	$(CARGO) build --locked --workspace --bins
	@hack/test/slowest $(ARGS)

check: ## quick check of the crates that differ from HEAD (ARGS=BASE): formatting, language, clippy, unit tests
	@hack/lint/check $(ARGS)

# A failed simulation prints its seed.
simulate: ## repeat one simulation of the agent and print its log (SEED=number)
	MAGLEV_SIMULATION_SEED=$(SEED) $(CARGO) test --locked --workspace --test simulation -- --ignored --nocapture --exact replay

soak: kube ## run the tests that take minutes: 10,000 simulations, an agent without CPU time or memory, floods
	$(CARGO) test --locked --profile soak -p maglev-tests-simulation -- --ignored --nocapture soak_
	$(CARGO) test --locked -p maglev-tests-wire -p maglev-tests-cluster -- --ignored --nocapture --test-threads=1 soak_

bench: ## run the benchmarks (MAGLEV_BENCH_API_SOCKET=PATH: against another VPP)
	$(CARGO) bench --locked -p maglev-benches --benches -- $(ARGS)

lint: ## check formatting, language, clippy, docs and dependencies (licences, bans, sources, unused)
	$(CARGO) fmt --all --check
	hack/lint/language
	"$$(hack/lint/tool cargo-machete 0.9.2)" --skip-target-dir
	"$$(hack/lint/tool cargo-deny 0.20.2)" --locked check bans licenses sources
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

audit: ## check dependencies for known vulnerabilities and yanked versions (downloads RustSec's database)
	"$$(hack/lint/tool cargo-deny 0.20.2)" --locked check advisories

fmt: ## format the sources
	$(CARGO) fmt --all

crds: ## write crds/ and the chart's copies from crates/crd
	UPDATE_CRDS=1 $(CARGO) test --locked -p maglev-crd --lib

contract: ## write web/src/sync/contract/, the types of the dashboard's API, from crates/dashboard
	UPDATE_GOLDEN=1 $(CARGO) test --locked -p maglev-dashboard --lib contract

golden: kube contract ## write the golden files (the chart, docs/, the page's types); review the difference
	UPDATE_GOLDEN=1 $(CARGO) test --locked -p maglev-cli --lib grammar::markdown
	UPDATE_GOLDEN=1 $(CARGO) test --locked -p maglev-tests-cluster -p maglev-tests-docs -- chart::render:: maglevc:: flags::

kube: ## build the control plane once into a cache (MAGLEV_KUBE_ASSETS=DIR: use these binaries)
	@hack/kube/build >/dev/null

web: ## build the dashboard's page into web/dist, which is committed
	cd web && npm ci --silent && npm run --silent build -- --logLevel warn

build: ## build the programs for release
	$(CARGO) build --locked --release -p maglev -p maglev-sandbox --bins

clean: ## remove build output and the demo's files; keeps the cached control plane
	$(CARGO) clean
	rm -rf .demo

ci: ## run everything that CI runs
	.ci/run
