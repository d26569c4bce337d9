# `make run` starts the broker, `make test` runs everything that guards it. Both install what is missing.

export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/sbin

# Where `make run` keeps its messages.
DATA_DIR ?= barnacle-data
# What `make run` adds to `barnacle serve`, and `make bench` to `barnacle-load compare`.
ARGS ?=
# The parts of `make test` to run; none named: all of them.
PARTS ?=

# What `make fuzz` runs, each so many inputs or so many seconds, whichever ends first; 0: no bound.
TARGETS ?= decode round_trip differential connection
RUNS ?= 0
SECONDS ?= 60

.PHONY: help run test lint audit bench fuzz clean

help:
	@echo 'make run      build and start the broker on localhost (DATA_DIR=..., ARGS=...)'
	@echo 'make test     everything that guards the project (PARTS="lint unit tidy clients")'
	@echo 'make lint     rustfmt, clippy and rustdoc, warnings are errors'
	@echo 'make audit    dependencies against the RustSec advisories, where they can be fetched'
	@echo 'make bench    Barnacle and mosquitto in turn under the same load (ARGS="--rounds 3 --qos 2")'
	@echo 'make fuzz     the fuzz targets, a minute each (RUNS=10000000 SECONDS=0 TARGETS="decode")'
	@echo 'make clean    remove what was built; the messages in $(DATA_DIR) stay'

run:
	@tools/setup/build.sh
	@echo 'Building Barnacle. The first build compiles RocksDB and takes some minutes.'
	@cargo build --release --bin barnacle
	@echo 'Connect to mqtt://localhost:1883 or ws://localhost:8083/mqtt. Messages are kept in $(DATA_DIR). Ctrl-C stops.'
	@exec cargo run --release --quiet --bin barnacle -- serve --data-dir '$(DATA_DIR)' $(ARGS)

test:
	@tools/test.sh $(PARTS)

lint:
	@tools/setup/build.sh
	@tools/test.sh lint

audit:
	@tools/setup/test.sh
	@tools/audit.sh

bench:
	@tools/setup/bench.sh
	@cargo build --release --workspace --bins
	@"$${CARGO_TARGET_DIR:-target}/release/barnacle-load" compare $(ARGS)

fuzz:
	@tools/setup/fuzz.sh
	@RUNS='$(RUNS)' SECONDS_EACH='$(SECONDS)' tools/fuzz/run.sh $(TARGETS)

clean:
	cargo clean
	rm -rf tests/clients/mqttjs/node_modules
