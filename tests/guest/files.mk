# Guests: real systems booted headless (run.py), the demo, their material (material.py)
help-lines += "make check-guest  boot firmware, boot loaders, memory tests and Linux"

check-guest: all
	$(Q)python3 tests/guest/run.py

help-lines += "make check-smp N=50  boot Linux with four vCPUs N times"
check-smp: all
	$(Q)python3 tests/guest/smp.py -n $(or $(N),50) $(SMP_ARGS)

help-lines += "make check-litmus N=300000  what vCPUs see of each other, N rounds of each test"
check-litmus: all
	$(Q)python3 tests/guest/litmus.py $(or $(N),300000)

help-lines += "make check-torture  Linux and litmus tests with all switches that make things scarce"
check-torture: all
	$(Q)python3 tests/guest/torture.py

help-lines += "make check-kvm N=20  KVM beside QEMU's (KVM_UNIT_TESTS=DIR too), N changes to tcg and back"
check-kvm: all
	$(Q)python3 tests/suites/kvm.py
	$(Q)python3 tests/guest/kvm.py $(or $(N),20)

help-lines += "make check-disks   Debian from IDE, AHCI, virtio-blk, virtio-scsi and NVMe, raw and qcow2"
check-disks: all
	$(Q)python3 tests/guest/disks.py $(DISKS)

help-lines += "make check-net    200 MiB and a minute of traffic with each network card (NET_ARGS)"
check-net: all
	$(Q)python3 tests/guest/netlong.py $(NET_ARGS)
.PHONY: check-net

demo:
	$(Q)sh scripts/demo.sh

.PHONY: check-litmus check-guest check-smp check-torture check-kvm check-disks
