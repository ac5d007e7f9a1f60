# `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test ci lint bench fmt doc

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the other targets need besides Rust
	scripts/setup test

build: ## Build target/debug/twinkey
	scripts/setup build
	cargo build --locked

demo: ## Rotate a real PostgreSQL's credentials under load, for about a minute
	scripts/setup demo
	cargo build --locked
	target/debug/twinkey demo

test: ## Run every test, against real servers
	scripts/setup test
	TWINKEY_ALL_ENGINES=1 cargo test --locked --lib --bins --tests
	scripts/readme-walk
	@# How far the proof of the decisions reaches is worth seeing each time.
	cargo test --locked --lib rotation::model -- --nocapture

ci: ## All that a change must pass
	scripts/setup test
	$(MAKE) lint
	$(MAKE) test
	$(MAKE) doc

lint: ## Formatting, clippy, dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	scripts/deny

bench: ## Run the benchmarks
	scripts/setup test
	cargo bench --locked

fmt: ## Format the code
	cargo fmt

doc: ## Build the crate's documentation; a broken link is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
