# Guests: real systems booted headless (run.py), the demo, their material (material.py)
help-lines += "make check-guest  boot firmware, boot loaders, memory tests and Linux"

check-guest: all
	$(Q)python3 tests/guest/run.py

demo:
	$(Q)sh scripts/demo.sh

.PHONY: check-guest
