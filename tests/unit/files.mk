lib-tests  += tests/unit/test-memory.c     # memory: flattening, accesses, dirty log, threads
lib-tests  += tests/unit/test-softfloat.c  # fpu: 80-bit operations against the host's x87
lib-tests  += tests/unit/test-softfloat-sse.c  # fpu: f32, f64, f16 against the host's SSE
lib-tests  += tests/unit/test-timer.c      # util: clocks, timers, event loop, read-copy-update
lib-tests  += tests/unit/test-options.c    # util: values, option strings, properties, log items
lib-tests  += tests/unit/test-json.c       # util: JSON
lib-tests  += tests/unit/test-device.c     # hw/core: types, buses, life, reset, -device
lib-tests  += tests/unit/test-vmstate.c    # migration: state tables, machine state
unit-tests += tests/unit/test-x86-insn.c   # x86: snippets on a bare CPU
unit-tests += tests/unit/test-x87.c        # x86: x87 instructions against the host
unit-tests += tests/unit/test-xsave.c      # x86: FXSAVE and XSAVE family against the host
lib-tests  += tests/unit/test-block.c      # block: requests, overlays, locks, errors, media, -drive
lib-tests  += tests/unit/test-pool.c       # block: threads for requests
lib-tests  += tests/unit/test-qcow2.c     # qcow2: sequences, threads, hostile images
lib-tests  += tests/unit/test-qcow2-overlap.c  # qcow2: writes that broken images lead to tables
lib-tests  += tests/unit/test-diskfaults.c  # all written formats: power cuts, errors at every step
test-qcow2-objs := tests/unit/memdisk.o
test-diskfaults-objs := tests/unit/memdisk.o
lib-tests  += tests/unit/test-formats.c   # formats beside qcow2: sequences, errors, damaged images
lib-tests  += tests/unit/test-jobs.c      # block jobs under load, their events
lib-tests  += tests/unit/test-chardev.c    # chardev: every back-end, back-pressure, mux, shorthands
lib-tests  += tests/unit/test-net.c        # net: checksums, segments, queues, hubs
lib-tests  += tests/unit/test-vhost.c      # net: vhost-net on a made-up kernel
unit-tests += tests/unit/test-virtio-vhost.c  # virtio-net with vhost: driver, made-up kernel
unit-tests += tests/unit/test-x86-cpuid.c  # x86: models, -cpu, CPUID leaves
unit-tests += tests/unit/test-x86-mmu.c    # x86: page walks against a reference
unit-tests += tests/unit/test-x86-seg.c    # x86: segments, far transfers
unit-tests += tests/unit/test-x86-exc.c    # x86: events in every mode
unit-tests += tests/unit/test-x86-sys.c    # x86: tasks, SMM, system registers, saved state
unit-tests += tests/unit/test-tcg.c        # accel/tcg: several vCPUs, eviction
unit-tests += tests/unit/test-x86-calls.c  # x86: calls and returns that are no pairs
test-tcg-objs := tests/unit/x86-test.o
test-x86-calls-objs := tests/unit/x86-test.o
test-x86-cpuid-objs := tests/unit/x86-test.o
test-x86-mmu-objs := tests/unit/x86-test.o
test-x86-seg-objs := tests/unit/x86-test.o
test-x86-exc-objs := tests/unit/x86-test.o
test-x86-sys-objs := tests/unit/x86-test.o
# Locals must survive the unwinding of a guest exception.
# (Neither compiler minds a -Wno option of the other kind after the first of these.)
x86-setjmp := -O0 -Wno-unknown-warning-option -Wno-clobbered
CFLAGS_tests/unit/test-x86-mmu.c := $(x86-setjmp)
CFLAGS_tests/unit/test-x86-seg.c := $(x86-setjmp)
CFLAGS_tests/unit/test-x86-exc.c := $(x86-setjmp)
CFLAGS_tests/unit/test-x86-sys.c := $(x86-setjmp)
unit-tests += tests/unit/test-insn-diff.c  # x86: random instructions against the host's CPU
test-insn-diff-objs := tests/unit/x86-test.o tests/unit/diff-run.o tests/unit/diff-case.o
unit-tests += tests/unit/test-program-diff.c  # x86: random programs against the host's CPU
test-program-diff-objs := $(test-insn-diff-objs)
help-lines += "make check-insn N=10000000  random instructions, the host against both engines"
N ?= 10000000
check-insn: $(BUILD)/tests/unit/test-insn-diff $(BUILD)/tests/unit/test-program-diff
	$(Q)INSN_CASES=$(N) $< --verbose
	$(Q)INSN_CASES=$(or $(PROGRAMS),1000000) $(BUILD)/tests/unit/test-program-diff --verbose
.PHONY: check-insn
unit-tests += $(if $(filter x86_64,$(HOST_ARCH)),tests/unit/test-x86-kvm.c)  # x86: registers to KVM's formats and back
test-x86-kvm-objs := tests/unit/x86-test.o
unit-tests += $(if $(filter x86_64,$(HOST_ARCH)),tests/unit/test-kvm-fake.c)  # KVM: errors, exits, kicks, dirty log, nested state on a made-up /dev/kvm
test-kvm-fake-objs := tests/unit/x86-test.o tests/unit/fake-kvm.o

# Those that check.py runs in the build with sanitizers too
sanitized-tests += tests/unit/test-block.c tests/unit/test-qcow2-overlap.c tests/unit/test-qcow2.c tests/unit/test-jobs.c tests/unit/test-formats.c tests/unit/test-diskfaults.c tests/unit/test-vmstate.c
sanitized-tests += tests/unit/test-options.c tests/unit/test-json.c tests/unit/test-chardev.c tests/unit/test-net.c
