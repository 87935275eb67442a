# SPDX-License-Identifier: MIT
# Non-recursive: each folder's files.mk lists its files with one caption a line,
#
#     emu += hw/timer/i8254.c        # 8254 programmable interval timer
#
# into emu (linked into the emulator), lib (also into tools and tests), or img (orrery-img,
# which gets of lib only util and block), nbd (orrery-nbd, the same) or run (orrery, the same).  A folder's
# files.mk may add rules and tests too.  Everything made lands below $(BUILD).

BUILD ?= build
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

all:

ifeq ($(filter help clean distclean demo,$(MAKECMDGOALS)),)
# a newer configure is run again as it was run before
$(BUILD)/config.mk: configure
	@if [ -f $(BUILD)/config.args ]; then eval "set -- $$(cat $(BUILD)/config.args)"; fi; \
	./configure "$$@" --build-dir=$(BUILD)
endif
-include $(BUILD)/config.mk

# What assembles x86 firmware: another compiler than CC on hosts of another kind
X86_CC ?= $(CC)
X86_OBJCOPY ?= objcopy

emu :=
lib :=
img :=
nbd :=
run :=
lib-tests :=
unit-tests :=
sanitized-tests :=
check-targets :=
DIRS := util fpu memory migration block chardev net ui audio accel accel/tcg accel/kvm accel/qtest \
        target-i386 hw/core hw/i386 hw/pci hw/isa hw/acpi hw/intc hw/timer hw/dma hw/nvram hw/char \
        hw/input hw/ide hw/block hw/smbios hw/display hw/net hw/virtio hw/scsi hw/nvme hw/usb \
        hw/audio hw/watchdog hw/misc monitor system pc-bios tools tests
include $(wildcard $(DIRS:%=%/files.mk)) $(wildcard tests/*/files.mk)

CFLAGS_ALL := -std=gnu11 $(OPT) $(WARN) -D_GNU_SOURCE -fno-strict-aliasing -fwrapv -I. -I$(BUILD) \
              $(LIB_CFLAGS) $(USER_CFLAGS)

emu-objs := $(emu:%.c=$(BUILD)/obj/%.o)
lib-objs := $(lib:%.c=$(BUILD)/obj/%.o)
img-objs := $(img:%.c=$(BUILD)/obj/%.o) \
            $(patsubst %.c,$(BUILD)/obj/%.o,$(filter util/% block/%,$(lib)))
nbd-objs := $(nbd:%.c=$(BUILD)/obj/%.o) $(filter-out $(img:%.c=$(BUILD)/obj/%.o),$(img-objs))
run-objs := $(run:%.c=$(BUILD)/obj/%.o) $(filter-out $(img:%.c=$(BUILD)/obj/%.o),$(img-objs))
EMULATOR := $(BUILD)/orrery-system-x86_64
IMG := $(BUILD)/orrery-img
NBD := $(BUILD)/orrery-nbd
RUN := $(BUILD)/orrery

all: $(if $(filter system/vl.c,$(emu)),$(EMULATOR)) $(IMG) $(NBD) $(RUN) objs
objs: $(emu-objs) $(lib-objs)

$(IMG): $(img-objs)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(OPT) -o $@ $(img-objs) $(LIBS)

$(NBD): $(nbd-objs)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(OPT) -o $@ $(nbd-objs) $(LIBS)

$(RUN): $(run-objs)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(OPT) -o $@ $(run-objs) $(LIBS)

$(EMULATOR): $(emu-objs) $(lib-objs)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(OPT) -o $@ $(emu-objs) $(lib-objs) $(LIBS)

$(BUILD)/obj/%.o: %.c $(BUILD)/config.mk
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CFLAGS_ALL) $(CFLAGS_$<) -MMD -MP -c -o $@ $<

# Unit tests: lib-tests += tests/unit/test-foo.c is linked with the library objects alone;
# unit-tests += with the whole emulator except system/vl.o, so that it may use any part; both
# with the objects named in test-foo-objs += tests/unit/helper.o.
lib-bins := $(lib-tests:%.c=$(BUILD)/%)
unit-bins := $(unit-tests:%.c=$(BUILD)/%)
test-objs := $(filter-out $(BUILD)/obj/system/vl.o,$(emu-objs)) $(lib-objs)
.SECONDEXPANSION:
$(lib-bins): $(BUILD)/%: $(BUILD)/obj/%.o $$(addprefix $(BUILD)/obj/,$$($$(*F)-objs)) $(lib-objs)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(OPT) -o $@ $^ $(LIBS)
$(unit-bins): $(BUILD)/%: $(BUILD)/obj/%.o $$(addprefix $(BUILD)/obj/,$$($$(*F)-objs)) $(test-objs)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(OPT) -o $@ $^ $(LIBS)
tests-bins: $(lib-bins) $(unit-bins)

# A second build, for what must survive hostile guests and images: address and undefined-behaviour
# sanitizers, the same libraries and compiler.  Its tests are listed in tests/check.py.  (`make -n`
# makes no configuration, and the make inside would make one without sanitizers.)
ifneq ($(SANITIZERS),yes)
SANITIZED := $(BUILD)/sanitized
$(SANITIZED)/config.mk: configure $(BUILD)/config.mk
	$(Q)eval "set -- $$(cat $(BUILD)/config.args)"; \
	./configure "$$@" --build-dir=$(SANITIZED) --enable-sanitizers >/dev/null
sanitized: $(SANITIZED)/config.mk
	$(Q)test ! -e $< || $(MAKE) BUILD=$(SANITIZED) all sanitized-tests
else
sanitized:
endif
sanitized-tests: $(addprefix $(BUILD)/,$(sanitized-tests:%.c=%))

# Without -j: all processors build.
check: test-packages
	$(Q)$(MAKE) $(if $(findstring -j,$(MAKEFLAGS)),,-j$$(nproc)) all tests-bins sanitized
	$(Q)python3 tests/check.py --build $(BUILD) $(if $(SANITIZED),--sanitized $(SANITIZED)) $(CHECK_ARGS)

# What the tests use beside the compiler: installed as root, else named.
test-packages:
	$(Q)sh scripts/install-packages.sh tests

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/orrery
	install -m 755 $(EMULATOR) $(IMG) $(NBD) $(RUN) $(DESTDIR)$(PREFIX)/bin/
	install -m 644 README.md LICENSE $(wildcard docs/*.md) $(DESTDIR)$(PREFIX)/share/doc/orrery/

clean:
	rm -rf $(BUILD)/obj $(BUILD)/tests $(EMULATOR) $(IMG) $(NBD) $(RUN)
distclean:
	rm -rf $(BUILD)

help:
	@echo "make            build $(EMULATOR) and $(IMG)"
	@echo "make demo       boot Debian's kernel to a shell on this terminal"
	@echo "make check      all tests (make check CHECK_ARGS=--help for choosing)"
	@echo "make bench      speed, beside QEMU and Bochs where installed"
	@echo "make install    into PREFIX (configure --prefix) below DESTDIR"
	@echo "make clean      remove what make made; distclean: the build folder"
	@printf '%s\n' $(help-lines)

.PHONY: all objs test-packages check tests-bins sanitized sanitized-tests install clean distclean help demo bench
.DELETE_ON_ERROR:
-include $(emu-objs:.o=.d) $(lib-objs:.o=.d) $(img-objs:.o=.d) $(nbd-objs:.o=.d) $(run-objs:.o=.d) $(patsubst %.c,$(BUILD)/obj/%.d,$(lib-tests) $(unit-tests)) \
	$(patsubst %.o,$(BUILD)/obj/%.d,$(sort $(foreach t,$(lib-tests) $(unit-tests),$($(basename $(notdir $(t)))-objs))))
