# The front door. Everything that is installed lands in this folder: .venv/ .tools/ target/
CARGO ?= cargo
PYTHON ?=
FUZZ_SECONDS ?= 60
PYTEST_ARGS ?= -n auto

FUZARR := target/release/fuzarr
VENV := .venv/.installed
CARGO_FUZZ := .tools/bin/cargo-fuzz
AZURITE := .tools/npm/.installed
FUZZ_TARGETS := $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check bench bench-quick bench-compare bench-build fuzz release clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

demo: release $(VENV) ## Store real MRI volumes, read slices, change a part, copy, verify
	.venv/bin/python demo/demo.py --fuzarr $(FUZARR)

test: $(VENV) $(AZURITE) ## Run tests: Rust, interop with zarr-python, zarrs and tensorstore, zarr-python's own
	$(CARGO) test
	$(CARGO) test --package fuzarr --features faults --test safety
	@$(MAKE) --no-print-directory release
	$(CARGO) build --release --quiet --package fuzarr-test-server
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/maturin develop --quiet --release -m crates/fuzarr-python/Cargo.toml
	.venv/bin/python tests/zarr_python/run.py
	.venv/bin/python tests/zarr_python/run.py --store each
	.venv/bin/python -m pytest tests $(PYTEST_ARGS)

test-all: test ## As test, and all of zarr-python's own tests, twice
	.venv/bin/python tests/zarr_python/run.py --all
	.venv/bin/python tests/zarr_python/run.py --all --accelerate

check: $(VENV) ## Formatting, layers, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) test --quiet --package fuzarr --test layers
	$(CARGO) clippy --workspace --all-targets --features fuzarr/faults -- -D warnings
	$(CARGO) clippy --package fuzarr --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	.venv/bin/ruff check --quiet tests demo crates bench
	.venv/bin/mypy --strict --cache-dir target/mypy crates/fuzarr-python/python
	.venv/bin/ruff format --check --quiet tests demo crates bench

bench: bench-build ## Measure beside the peers and the floors, about two hours; ARGS=--record keeps it
	.venv/bin/python bench/run.py $(ARGS)

bench-quick: bench-build ## A few cells of each family, in less than five minutes
	.venv/bin/python bench/run.py --quick $(ARGS)

bench-compare: bench-build ## Measure against another commit: BASE=main~1, and perhaps ARGS="--only tiny"
	@test -n "$(BASE)" || { echo "make bench-compare needs BASE=<commit>" >&2; exit 2; }
	.venv/bin/python bench/run.py --base "$(BASE)" $(ARGS)

bench-build: $(VENV)
	$(CARGO) build --release --quiet -p fuzarr-bench -p fuzarr-test-server
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/maturin develop --quiet --release -m crates/fuzarr-python/Cargo.toml

fuzz: $(CARGO_FUZZ) ## Fuzz every target, FUZZ_SECONDS (60) each; needs a nightly toolchain
	@$(CARGO) +nightly --version >/dev/null 2>&1 || { \
	  echo "make fuzz needs a nightly Rust toolchain: rustup toolchain install nightly" >&2; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
	  echo "== $$target: $(FUZZ_SECONDS) s"; \
	  PATH="$(CURDIR)/.tools/bin:$$PATH" $(CARGO) +nightly fuzz run "$$target" -- \
	    -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 || exit 1; \
	done

release:
	$(CARGO) build --release --bin fuzarr

clean: ## Remove what was built and installed here
	rm -rf .venv .tools target

$(VENV): tests/requirements.txt bench/requirements.txt tests/find_python
	@python=$$(PYTHON="$(PYTHON)" tests/find_python) && \
	echo "Installing the test environment into .venv ($$python)" && \
	"$$python" -m venv --clear .venv && \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt -r bench/requirements.txt
	@touch $@

# Without npm, the tests of Azure are skipped.
$(AZURITE): tests/package.json tests/package-lock.json
	@mkdir -p $(@D) && cp $^ $(@D)
	@if command -v npm >/dev/null; then \
	  echo "Installing a server of Azure's blobs into .tools/npm" && \
	  npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent; \
	else echo "no npm: tests of Azure will be skipped" >&2; fi
	@touch $@

$(CARGO_FUZZ):
	$(CARGO) install --quiet --locked cargo-fuzz --root .tools
