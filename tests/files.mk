# Longer tests: make check-NAME
help-lines += "make check-fuzz   random guests for longer: N=steps (best with --enable-sanitizers)"

N ?= 1000000
check-fuzz: all
	$(Q)ORRERY=$(abspath $(EMULATOR)) ORRERY_STEPS=$(N) python3 tests/qtest/test_fuzz.py -v

.PHONY: check-fuzz
