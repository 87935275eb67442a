# Speed, beside QEMU's TCG and Bochs: bench.py, and the program its guests run (guest/)
help-lines += "make bench-quick  the same, one short run (BENCH_ARGS=--help for choosing)"

help-lines += "make bench-net    TCP throughput of network cards alone"

bench: all
	$(Q)python3 tests/bench/bench.py $(BENCH_ARGS)
	$(Q)$(if $(BENCH_ARGS),,python3 tests/bench/smp.py)
	$(Q)$(if $(BENCH_ARGS),,python3 tests/bench/net.py)
	$(Q)$(if $(BENCH_ARGS),,python3 tests/bench/disks.py --bare)
bench-net: all
	$(Q)python3 tests/bench/net.py $(BENCH_ARGS)
bench-quick: all
	$(Q)python3 tests/bench/bench.py --quick $(BENCH_ARGS)

help-lines += "make bench-smp    what a second busy vCPU is worth, beside QEMU and the host (BENCH_ARGS)"
bench-smp: all
	$(Q)python3 tests/bench/smp.py $(BENCH_ARGS)

help-lines += "make bench-disks  requests a second on virtio disks, raw and qcow2, beside QEMU (BENCH_ARGS)"
bench-disks: all
	$(Q)python3 tests/bench/disks.py $(BENCH_ARGS)
	$(Q)$(if $(BENCH_ARGS),,python3 tests/bench/disks.py --bare)
	$(Q)$(if $(BENCH_ARGS),,python3 tests/bench/convert.py)

help-lines += "make bench-convert  orrery-img convert beside qemu-img convert (BENCH_ARGS)"
bench-convert: all
	$(Q)python3 tests/bench/convert.py $(BENCH_ARGS)

help-lines += "make bench-screen  pictures a second over VNC, cost of an idle guest that is watched"
bench-screen: all
	$(Q)python3 tests/bench/screen.py $(BENCH_ARGS)

.PHONY: bench-smp bench bench-quick bench-net bench-disks bench-convert bench-screen
