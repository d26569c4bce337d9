# `make run` starts the broker, `make test` runs everything that guards it. Both install what is missing.

export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/sbin

# Where `make run` keeps its messages.
DATA_DIR ?= barnacle-data
# The folder of tests/fixtures that `make fixture` makes.
NAME ?=
# What `make run` adds to `barnacle serve`, `make bench` to `barnacle-load compare`, `make performance` to `barnacle-load all`.
ARGS ?=
# Where `make performance` and `make profile` write their results.
OUT ?= performance
# The parts of `make test` to run; none named: all of them.
PARTS ?=

# What `make fuzz` runs, each so many inputs or so many seconds, whichever ends first; 0: no bound.
TARGETS ?= decode round_trip differential connection
RUNS ?= 0
SECONDS ?= 60

.PHONY: help run test sim planted lint audit bench performance profile crashlab fuzz fixture conformance-table clean

help:
	@echo 'make run      build and start the broker on localhost (DATA_DIR=..., ARGS=...)'
	@echo 'make test     everything that guards the project (PARTS="lint unit tidy clients")'
	@echo 'make sim      the simulator: 10,000 seeds, or ARGS="--seconds 3600"'
	@echo 'make planted  plant bugs on purpose, and see that the simulator finds them'
	@echo 'make lint     rustfmt, clippy and rustdoc, warnings are errors'
	@echo 'make audit    dependencies against the RustSec advisories, where they can be fetched'
	@echo 'make bench    Barnacle and mosquitto in turn under the same load (ARGS="--rounds 3 -- live --qos 2")'
	@echo 'make performance  every scenario of the load generator into OUT=performance, half an hour (ARGS="--only storm,single")'
	@echo 'make profile  where the time goes under one of them, with a flame graph (ARGS="queue --count 1000000"); or the memory (--heap)'
	@echo 'make fuzz     the fuzz targets, a minute each (RUNS=10000000 SECONDS=0 TARGETS="decode")'
	@echo 'make crashlab the long campaign of kills, power cuts and bad disks; writes docs/crashlab'
	@echo 'make fixture  write a store as this version has it, for later versions to open (NAME=store-v2)'
	@echo 'make conformance-table   write docs/CONFORMANCE.md from the tests'
	@echo 'make clean    remove what was built; the messages in $(DATA_DIR) stay'

run:
	@tools/setup/build.sh
	@echo 'Building Barnacle. The first build compiles RocksDB and takes some minutes.'
	@cargo build --release --bin barnacle
	@echo 'Connect to mqtt://localhost:1883 or ws://localhost:8083/mqtt. Messages are kept in $(DATA_DIR). Ctrl-C stops.'
	@exec cargo run --release --quiet --bin barnacle -- serve --data-dir '$(DATA_DIR)' $(ARGS)

test:
	@tools/test.sh $(PARTS)

sim:
	@tools/setup/build.sh
	@cargo build --release --workspace --bin sim
	@"$${CARGO_TARGET_DIR:-target}/release/sim" $(or $(ARGS),--seeds 0..10000)

planted:
	@tools/setup/build.sh
	@BARNACLE_PLANTED_FAULTS=yes cargo run --release --workspace --bin sim --features barnacle-sim/planted-faults -- planted

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

performance:
	@tools/setup/bench.sh
	@cargo build --release --workspace --bins
	@"$${CARGO_TARGET_DIR:-target}/release/barnacle-load" all --out '$(OUT)' $(ARGS)

profile:
	@tools/setup/profile.sh
	@cargo build --release --workspace --bins
	@tools/profile.sh '$(OUT)' $(or $(ARGS),queue --drain)

fuzz:
	@tools/setup/fuzz.sh
	@RUNS='$(RUNS)' SECONDS_EACH='$(SECONDS)' tools/fuzz/run.sh $(TARGETS)

crashlab:
	@tools/crashlab.sh

fixture:
	@test -n '$(NAME)' && test ! -e 'tests/fixtures/$(NAME)' || { echo 'NAME=... of a new folder in tests/fixtures' >&2; exit 2; }
	@BARNACLE_FIXTURE='$(CURDIR)/tests/fixtures/$(NAME)' cargo test --release --workspace --test integration -- \
		--exact upgrade::what_this_version_writes_it_opens_and_has_everything

conformance-table:
	@BARNACLE_WRITE_CONFORMANCE_TABLE=1 cargo test --release --workspace --test integration -- --exact \
		tidy::conformance::every_statement_of_the_standard_has_its_test_or_its_reason

clean:
	cargo clean
	rm -rf tests/clients/mqttjs/node_modules
