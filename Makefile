# The words here are the same everywhere: demo, test, bench, soak, wheel, install, dist.
# `make demo` is the first command of a newcomer, `make test` the second.

CARGO ?= cargo
CC ?= cc
TARGET ?= target
DEMO := $(TARGET)/demo
RUST_NEEDED := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
FAULT_TABLE = $(CURDIR)/$(TARGET)/faults-$@.md

.PHONY: demo demo-fleet demo-build test test-bindings analyse-php size-check soak fuzz wheel bench bench-check bench-setup release install uninstall deb dist dist-check docker-check toolchain setup

# Builds the library, compiles the C quickstart against it, and lets it deliver to a local API.
demo: demo-build
	$(CC) -std=c99 -Wall -Wextra -Werror -O1 -Iinclude bindings/c/quickstart.c -L$(DEMO) -lmeditopia -o $(DEMO)/quickstart
	@sh bindings/c/demo.sh $(DEMO)

# Four hosts, a PostgreSQL, two relays, a local API; a relay is killed and the database crashes in the middle.
demo-fleet: demo-build
	@sh crates/fleet/demo.sh $(DEMO)

demo-build: toolchain
	$(CARGO) build --locked --profile demo --package meditopia --package meditopia-cli
	@ln -sf libmeditopia.so $(DEMO)/libmeditopia.so.0

# Runs every test, after installing what they need and this machine lacks.
test: setup toolchain
	@mkdir -p $(TARGET)
	@.ci/fault-table begin $(FAULT_TABLE)
	MEDITOPIA_FAULT_TABLE=$(FAULT_TABLE) $(CARGO) test --locked --workspace --no-fail-fast
	@.ci/fault-table show $(FAULT_TABLE)
	@$(MAKE) --no-print-directory test-bindings

# Runs the tests of each language's package, in its real servers; `make test` does, too.
test-bindings: setup demo-build
	sh bindings/python/test.sh $(DEMO)
	sh bindings/php/test.sh $(DEMO)
	sh bindings/cpp/test.sh $(DEMO)
	sh bindings/recipes/test.sh $(DEMO)
	sh bindings/pages/test.sh $(DEMO)
	sh bindings/release/test.sh
	@$(MAKE) --no-print-directory demo demo-fleet

# Analyses the PHP package. Compiles the analyser once, in minutes, and so is not a part of `make test`.
analyse-php: toolchain
	@sh .ci/setup analyse
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	sh bindings/php/tests/analyse.sh "$$scratch/analysis" "$(abspath $(TARGET))/mago/bin/mago"

# Builds the library as it is shipped, and fails if it is larger than it may be, stripped.
SIZE_MAX := 4200000
size-check: toolchain
	$(CARGO) build --locked --release
	@strip -o $(TARGET)/release/stripped.so $(TARGET)/release/libmeditopia.so
	@size=$$(wc -c <$(TARGET)/release/stripped.so); echo "libmeditopia.so, stripped: $$size bytes of $(SIZE_MAX)"; \
	test "$$size" -le $(SIZE_MAX)

# Runs the fault tests at full length: millions of power cuts, thousands of kills. Takes hours.
soak: setup toolchain
	@mkdir -p $(TARGET)
	@.ci/fault-table begin $(FAULT_TABLE)
	MEDITOPIA_SOAK=1 MEDITOPIA_FAULT_TABLE=$(FAULT_TABLE) $(CARGO) test --locked --workspace --no-fail-fast
	$(CARGO) test --locked --lib -- --ignored many_lives_of_a_store no_order_of_two_senders
	@.ci/fault-table show $(FAULT_TABLE)

# Feeds the readers of the store with bytes that nobody has written: each target for so many seconds.
FUZZ_SECONDS ?= 60
fuzz: toolchain
	@CARGO="$(CARGO)" crates/fuzz/run $(FUZZ_SECONDS)

# Builds Python's package into dist/: with the library inside, and without it for other systems.
wheel: toolchain
	$(CARGO) build --locked --release
	python3 bindings/python/build_wheel.py $(TARGET)/release dist
	python3 bindings/python/build_wheel.py --without-library dist

# Measures every figure beside its reference, half an hour on a machine that does nothing else, and
# writes benches/README.md; UPDATE_README=1 writes what bad events cost into docs/isolation.md and its plot, too.
bench: bench-setup toolchain
	$(CARGO) bench --locked --bench isolation
	$(CARGO) build --locked --release
	$(CARGO) build --locked --release -p meditopia-cli
	cd benches && python3 -m figures

# Runs the same for seconds, to see that all of it works; what it prints says nothing about time.
bench-check: bench-setup demo-build
	cd benches && MEDITOPIA_BENCH_PROFILE=demo python3 -m figures --short

# What `make install` and `make deb` take: BUILT=target/demo is the quick build.
BUILT ?= $(TARGET)/release

# Builds the library and the command as they are shipped, in minutes. Each has a cargo call and a
# directory of its own, so that no feature that only the command asks for gets into the library.
release: toolchain
	$(CARGO) build --locked --release
	$(CARGO) build --locked --release --package meditopia-cli --target-dir $(TARGET)/command
	@cp $(TARGET)/command/release/meditopia $(TARGET)/release/meditopia
	@mkdir -p $(TARGET)/release/installable
	@sh bindings/install/native_libraries.sh >$(TARGET)/release/installable/native-static-libs
	@sh bindings/install/static.sh $(TARGET)/release $(TARGET)/release/installable/libmeditopia.a

# PREFIX (/usr/local), LIBDIR (PREFIX/lib) and DESTDIR say where. Run `make release` before, as yourself.
install:
	@sh bindings/install/install.sh install "$(BUILT)"

uninstall:
	@sh bindings/install/install.sh uninstall

# Debian packages of what was built, in dist/.
deb:
	@sh bindings/install/deb.sh "$(BUILT)" dist

# All files of a release, in dist/: compiled for glibc 2.17 with what PyPI has of zig, in some ten minutes.
dist: toolchain
	CARGO="$(CARGO)" TARGET="$(TARGET)" sh bindings/release/build.sh $(TARGET)/dist
	CARGO="$(CARGO)" sh bindings/release/pack.sh $(TARGET)/dist dist

# Installs and uses every file of dist/ in fresh directories and on Debian 11; with REPRODUCE=1 it also makes
# them a second time, from another clone, and compares the bytes.
dist-check: toolchain
	@sh .ci/setup dist
	CARGO="$(CARGO)" TARGET="$(TARGET)" sh bindings/release/check.sh dist

# Carries out the Dockerfiles of bindings/docker with the files of dist/, in systems of their own, and does what the Compose files say.
docker-check: toolchain
	@sh .ci/setup dist
	sh bindings/docker/check.sh dist $(TARGET)/docker

bench-setup:
	@sh benches/setup

setup:
	@sh .ci/setup

toolchain:
	@sh .ci/toolchain $(CARGO) $(RUST_NEEDED) $(CC)
