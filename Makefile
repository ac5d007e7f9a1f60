# `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup build demo check fmt lint check-features doc test test-postgres test-mariadb \
    test-mysql test-documentdb test-redshift test-api test-browser test-clients worlds cut-table \
    fault-table soak soak-endpoints soak-fleet soak-journal bench fuzz \
    check-alerts check-deploy sbom image test-image deb test-deb dist ci

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the servers and tools of the tests (scripts/setup)
	scripts/setup test

build: ## Build target/debug/twinkey
	scripts/setup build
	cargo build --locked

demo: ## Rotate a real PostgreSQL and a real MariaDB under load, for about a minute
	scripts/setup demo
	cargo build --locked -p twinkey-demo
	target/debug/twinkey-demo

# Parts of test names. These unit tests start database servers.
JOURNAL_TESTS = journal::tests::
SERVER_TESTS = $(JOURNAL_TESTS)on_postgres $(JOURNAL_TESTS)postgres roundtrip_tests mysql::signin mysql::session
check: ## Check the format, run clippy and the unit tests; installs and starts no server
	scripts/setup build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	scripts/run-tests --workspace --exclude twinkey-testkit --lib -- $(SERVER_TESTS:%=--skip %)

fmt: ## Format the code
	cargo fmt --all

lint: ## Check the format, run clippy, check the dependencies (deny.toml)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	scripts/deny

check-features: ## Compile with each Cargo feature alone, and with none
	scripts/check-features

doc: ## Build the documentation of the crates; a broken link is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

AWS_CALLS = $(CURDIR)/target/aws-calls
test: export TWINKEY_ALL_ENGINES = 1
test: export TWINKEY_AWS_CALLS = $(AWS_CALLS)
test: ## Run all tests on real servers, without MySQL and PostgreSQL 16 and 17
	scripts/setup test
	@mkdir -p target && rm -f $(AWS_CALLS)
	scripts/run-tests --workspace --lib --bins --tests -- --skip $(JOURNAL_TESTS) \
		--skip postgres_16_ --skip postgres_17_
	@# The tests of the journal share one PostgreSQL. Nextest would start one for each test.
	cargo test --locked --workspace --lib -- $(JOURNAL_TESTS)
	@# The stand-in wrote every AWS call of the tests to $(AWS_CALLS). The IAM policy must allow each.
	scripts/run-tests --workspace --test product -- --ignored all_calls_of_all_tests
	scripts/readme-walk

# One target for each engine: the conformance suite, and the engine's own tests. `make test` includes
# all of them except MySQL, and of PostgreSQL the oldest and the newest version.
test-postgres: export TWINKEY_ALL_ENGINES = 1
test-postgres: ## Run the tests of PostgreSQL, and those of the product that need no other engine
	scripts/setup test
	scripts/run-tests --workspace --lib --test conformance -- postgres --skip $(JOURNAL_TESTS)
	cargo test --locked --workspace --lib -- $(JOURNAL_TESTS)
	scripts/run-tests --workspace --test product --test stores -- $(OTHER_ENGINES:%=--skip %)
OTHER_ENGINES = mariadb mysql documentdb redshift

test-mariadb: export TWINKEY_ALL_ENGINES = 1
test-mariadb: ## Run the tests of MariaDB
	scripts/setup test
	scripts/run-tests --workspace --lib --test conformance --test product -- mariadb

test-documentdb: export TWINKEY_ALL_ENGINES = 1
test-documentdb: ## Run the tests of DocumentDB and MongoDB
	scripts/setup test
	scripts/run-tests --workspace --lib --test conformance --test product -- documentdb

test-redshift: export TWINKEY_ALL_ENGINES = 1
test-redshift: ## Run the tests of Redshift, on a stand-in of its Data API
	scripts/setup test
	scripts/run-tests --workspace --lib --test conformance --test product --test stores -- redshift

# Scripts exit with status 3 if a requirement is not available here. They print which.
SKIPPED = { status=$$?; [ $$status = 3 ] && echo '*** SKIPPED: $@ ***' >&2; }

test-mysql: export TWINKEY_ALL_ENGINES = 1
test-mysql: export TWINKEY_MYSQL = 1
test-mysql: ## Run the tests of MySQL, which is downloaded; skipped where that is not possible
	scripts/setup test
	@scripts/setup-mysql || $(SKIPPED)
	@[ ! -x "$${TWINKEY_CACHE:-.cache}/mysql/usr/sbin/mysqld" ] || \
	    scripts/run-tests --workspace --lib --test conformance --test product -- mysql

test-api: ## Fuzz the admin endpoint with its OpenAPI document
	scripts/setup test
	scripts/setup api
	scripts/run-tests --workspace --test product -- --ignored a_fuzzer_finds

test-browser: ## Use the dashboard in a headless Chromium
	scripts/setup test
	scripts/setup browser
	scripts/run-tests --workspace --test browser -- --ignored

test-clients: ## Use the served store from boto3, the AWS CLI and the caching client of AWS
	scripts/setup test
	scripts/setup clients
	scripts/run-tests --workspace --test product -- --ignored aws_s_own_clients

worlds: export TWINKEY_ALL_ENGINES = 1
worlds: export TWINKEY_WORLDS ?= 200
worlds: ## Rotate in 200 random worlds on each server (TWINKEY_WORLDS, TWINKEY_WORLD_SEED)
	scripts/setup test
	cargo test --locked --workspace --test worlds -- --nocapture

soak: ## Rotate a thousand times under an application that opens 200 connections a second
	scripts/setup test
	cargo test --locked --workspace --test product -- --ignored a_thousand_rotations --nocapture

soak-endpoints: export TWINKEY_ALL_ENGINES = 1
soak-endpoints: ## Rotate fifty times under an application at replicas and a pooler
	scripts/setup test
	cargo test --locked --workspace --test product -- --ignored fifty_rotations_with_endpoints --nocapture

soak-journal: ## Compare a million runs in the journal with one for each rotation, on both journals
	scripts/setup test
	cargo test --locked --workspace --test product -- --ignored a_million_runs --nocapture --test-threads 1

soak-fleet: export TWINKEY_ALL_ENGINES = 1
soak-fleet: ## Discover 5,000 secrets of six accounts, and rotate 500 of them by three workers
	scripts/setup test
	cargo test --locked --workspace --test product -- --ignored a_fleet --nocapture --test-threads 1

cut-table: export TWINKEY_ALL_ENGINES = 1
cut-table: export TWINKEY_EVERY_CUT = 1
cut-table: ## Cut a rotation at each of its requests, and print the table
	scripts/setup test
	cargo test --locked --workspace --test product -- cut_table redshift::interruptions --nocapture

fault-table: export TWINKEY_ALL_ENGINES = 1
fault-table: ## Inject 58 faults while a worker runs, and print what it shows of each
	scripts/setup test
	cargo test --locked --workspace --test product -- --ignored each_fault_is_shown --nocapture

bench: ## Run the benchmarks
	scripts/setup test
	cargo bench --locked

fuzz: ## Run each fuzz target for a minute (FUZZ_SECONDS); needs cargo-fuzz and a nightly compiler
	scripts/fuzz

check-alerts: ## Check the alert rules, their tests and the metrics of a worker, with promtool
	scripts/setup test
	scripts/check-alerts

check-deploy: ## Check the systemd unit, the ECS task, the Terraform module and the compose file
	scripts/setup deploy
	scripts/check-deploy

sbom: ## Write target/sbom/twinkey.cdx.json, the components of the program
	scripts/setup deploy
	@scripts/sbom || $(SKIPPED)

image: ## Build the image without Docker, as root (with Docker: docker build .)
	scripts/setup deploy
	scripts/image

test-image: ## Build the image and rotate with it on a read-only root; skipped without root
	scripts/setup test
	scripts/setup deploy
	@scripts/test-image || $(SKIPPED)

deb: ## Build the Debian package into target/debian
	scripts/setup deploy
	scripts/deb

test-deb: ## Build the Debian package and install it in a bare Debian; skipped without root
	scripts/setup deploy
	@scripts/test-deb || $(SKIPPED)

dist: ## Build the artefacts of the release TAG into target/dist (docs/releasing.md)
	scripts/setup deploy
	scripts/dist $(TAG)

PARTS = setup lint check-features doc test test-mysql test-api test-browser test-clients \
    check-alerts check-deploy test-image test-deb
ci: ## Run all checks that a change must pass, and print the time of each part
	scripts/timed-parts $(PARTS)
