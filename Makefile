# `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-mysql test-api test-browser test-clients check-alerts soak check-deploy sbom image test-image deb test-deb ci lint bench fuzz fmt doc

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
	$(MAKE) test-browser
	$(MAKE) test-clients
	$(MAKE) check-alerts
	$(MAKE) check-deploy
	$(MAKE) sbom
	$(MAKE) test-image
	$(MAKE) test-deb
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

test-browser: ## Use the dashboard in a headless Chromium, as an operator does
	scripts/setup test
	scripts/setup browser
	cargo test --locked --test browser -- --ignored

test-clients: ## Read and write the served store with boto3, the AWS CLI and AWS's caching client
	scripts/setup test
	scripts/setup clients
	cargo test --locked --test product -- --ignored aws_s_own_clients

check-alerts: ## Check the alert rules and run their tests, with Prometheus's promtool
	scripts/check-alerts

soak: ## Rotate a thousand times under an application that opens 200 connections a second; some minutes
	scripts/setup test
	cargo test --locked --test product -- --ignored a_thousand_rotations --nocapture
check-deploy: ## Check the systemd unit, the ECS task, the Terraform module and the compose file
	scripts/setup deploy
	scripts/check-deploy

sbom: ## Write target/sbom/twinkey.cdx.json: what the program is made of
	scripts/setup deploy
	@scripts/sbom || { status=$$?; [ $$status = 3 ] && echo '*** SKIPPED: the SBOM ***' >&2; }

image: ## Build the image, without Docker (root; with Docker: docker build .)
	scripts/setup deploy
	scripts/image

test-image: ## Build the image and let it rotate on a read-only root; skipped where none can be built
	scripts/setup test
	scripts/setup deploy
	@scripts/test-image || { status=$$?; [ $$status = 3 ] && echo '*** SKIPPED: the image ***' >&2; }

deb: ## Build the Debian package into target/debian
	scripts/setup deploy
	scripts/deb

test-deb: ## Build the Debian package and install it in a bare Debian; skipped where that cannot be had
	scripts/setup deploy
	@scripts/test-deb || { status=$$?; [ $$status = 3 ] && echo '*** SKIPPED: the Debian package ***' >&2; }

fuzz: ## Run each fuzz target for a minute (FUZZ_SECONDS); needs cargo-fuzz, and says so
	scripts/fuzz

fmt: ## Format the code
	cargo fmt

doc: ## Build the crate's documentation; a broken link is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
