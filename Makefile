# SPDX-License-Identifier: GPL-2.0
#
# Front of everything. Each job is a script of its own in scripts/; kbuild reads
# Kbuild, not this file.

# An empty one counts as none: `make KDIR= check`.
export KDIR KERNEL INSTALL_MOD_PATH DESTDIR PREFIX DM_LOOP_CACHE TESTS

.PHONY: module
module:
	@scripts/build-module

.PHONY: tools
tools:
	@scripts/build-tools

.PHONY: install
install:
	@scripts/install

.PHONY: uninstall
uninstall:
	@scripts/uninstall

.PHONY: modules_install
modules_install:
	@scripts/install-module

.PHONY: deb
deb:
	@scripts/deb

.PHONY: check
check:
	@scripts/check

.PHONY: check-%
check-%:
	@scripts/check $*

.PHONY: bench
bench:
	@scripts/bench

.PHONY: bench-%
bench-%:
	@scripts/bench-$*

.PHONY: demo
demo:
	@scripts/demo

.PHONY: doc
doc:
	@scripts/doc

.PHONY: rust-analyzer
rust-analyzer:
	@scripts/build-module rust-analyzer

.PHONY: clean
clean:
	rm -rf build

.PHONY: distclean
distclean: clean
	@scripts/clean-cache

.PHONY: help
help:
	@scripts/help
