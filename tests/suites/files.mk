# Public test suites kept outside this tree: kvm-unit-tests (kut.py), test386 (test386.py).
# kvm.py: guests and kvm-unit-tests beside QEMU with -accel kvm (make check-kvm)
help-lines += "make check-kut  kvm-unit-tests below KVM_UNIT_TESTS=DIR, beside QEMU"
help-lines += "make check-test386  the test386 ROM in TEST386=DIR"

check-kut: all
	$(Q)python3 tests/suites/kut.py $(KUT_ARGS)

check-test386: all
	$(Q)python3 tests/suites/test386.py

.PHONY: check-kut check-test386
