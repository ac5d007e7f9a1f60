# `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-mysql test-api check-alerts ci lint bench fuzz fmt doc

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the other targets need besides Rust
	scripts/setup test

build: ## Build target/debug/twinkey
	scripts/setup build
	cargo build --locked

demo: ## Rotate the credentials of a real PostgreSQL and a real MariaDB under load, for about a minute
	scripts/setup demo
	cargo build --locked
	target/debug/twinkey demo

AWS_CALLS = $(CURDIR)/target/aws-calls
test: ## Run every test, against real servers
	scripts/setup test
	@# Every call of AWS that the tests make is written down, and then held against the policy.
	@mkdir -p target && rm -f $(AWS_CALLS)
	TWINKEY_AWS_CALLS=$(AWS_CALLS) TWINKEY_ALL_ENGINES=1 cargo test --locked --lib --bins --tests
	TWINKEY_AWS_CALLS=$(AWS_CALLS) cargo test --locked --test product -- --ignored all_calls_of_all_tests
	scripts/readme-walk
	@# How far the proof of the decisions reaches is worth seeing each time.
	cargo test --locked --lib rotation::model -- --nocapture

# Status 3 is "cannot be had here", which the script has said loudly.
test-mysql: ## Run the tests that need a MySQL, which is downloaded first; skipped where that cannot be
	scripts/setup test
	@scripts/setup-mysql && { \
	    export TWINKEY_ALL_ENGINES=1 TWINKEY_MYSQL=1 && \
	    cargo test --locked --lib mysql && \
	    cargo test --locked --test conformance mysql; \
	} || { status=$$?; [ $$status = 3 ] && echo '*** SKIPPED: the tests on MySQL ***' >&2; }

ci: ## All that a change must pass
	scripts/setup test
	$(MAKE) lint
	$(MAKE) test
	$(MAKE) test-mysql
	$(MAKE) test-api
	$(MAKE) check-alerts
	$(MAKE) doc

lint: ## Formatting, clippy, dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	scripts/deny

bench: ## Run the benchmarks
	scripts/setup test
	cargo bench --locked

test-api: ## Fuzz the admin endpoint by its OpenAPI document
	scripts/setup test
	scripts/setup api
	cargo test --locked --test product -- --ignored a_fuzzer_finds

check-alerts: ## Check the alert rules and run their tests, with Prometheus's promtool
	scripts/check-alerts

fuzz: ## Run each fuzz target for a minute (FUZZ_SECONDS); needs cargo-fuzz, and says so
	scripts/fuzz

fmt: ## Format the code
	cargo fmt

doc: ## Build the crate's documentation; a broken link is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
