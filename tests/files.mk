# Longer tests: make check-NAME
help-lines += "make check-fuzz   random guests for longer: N=steps (best with --enable-sanitizers)"

N ?= 1000000
check-fuzz: all
	$(Q)ORRERY=$(abspath $(EMULATOR)) ORRERY_STEPS=$(N) python3 tests/qtest/test_fuzz.py -v

.PHONY: check-fuzz

help-lines += "make check-disk   qcow2 for longer: 500 sequences, 1000 power cuts, 1000 errors and mutations"
check-disk: $(BUILD)/tests/unit/test-qcow2
	$(Q)DISK_SEQUENCES=500 DISK_CUTS=1000 DISK_ERRORS=1000 DISK_MUTATIONS=1000 $< --verbose
.PHONY: check-disk
