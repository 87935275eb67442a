# Longer tests: make check-NAME
help-lines += "make check-fuzz   random guests for longer: N=steps (best with --enable-sanitizers)"

N ?= 1000000
check-fuzz: all
	$(Q)ORRERY=$(abspath $(EMULATOR)) ORRERY_STEPS=$(N) python3 tests/qtest/test_fuzz.py -v

.PHONY: check-fuzz

help-lines += "make check-disk   images for longer: 500 sequences, 1000 power cuts, errors, mutations of each format"
check-disk: all $(addprefix $(BUILD)/tests/unit/,test-qcow2 test-formats test-diskfaults test-jobs)
	$(Q)DISK_SEQUENCES=500 DISK_MUTATIONS=1000 $(BUILD)/tests/unit/test-qcow2 --verbose
	$(Q)DISK_CUTS=1000 DISK_ERRORS=500 $(BUILD)/tests/unit/test-diskfaults --verbose
	$(Q)images=$$(mktemp -d) && python3 tests/disk/samples.py $$images && DISK_SEQUENCES=500 \
	    DISK_ERRORS=300 DISK_MUTATIONS=1000 DISK_IMAGES=$$images \
	    $(BUILD)/tests/unit/test-formats --verbose; status=$$?; rm -rf $$images; exit $$status
	$(Q)DISK_JOBS=40 $(BUILD)/tests/unit/test-jobs --verbose
	$(Q)ORRERY=$(abspath $(EMULATOR)) DISK_CLIENTS=2000 DISK_KILLS=50 python3 tests/disk/test_nbd.py -v
.PHONY: check-disk
