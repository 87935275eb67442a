# Front ends: tests that take longer
help-lines += "make check-vnc N=10000  hostile VNC sessions (best with --enable-sanitizers)"

check-vnc: all
	$(Q)ORRERY=$(abspath $(EMULATOR)) ORRERY_SESSIONS=$(if $(filter command%,$(origin N)),$(N),10000) \
	    python3 tests/ui/test_vnc_fuzz.py -v
	$(Q)ORRERY=$(abspath $(EMULATOR)) ORRERY_SESSIONS=$(if $(filter command%,$(origin N)),$(N),10000) \
	    python3 tests/ui/test_vnc_sasl.py -v UnixSocket.test_nonsense
.PHONY: check-vnc

help-lines += "make check-viewers  other people's VNC viewers, those that are installed"
check-viewers: all
	$(Q)ORRERY=$(abspath $(EMULATOR)) python3 tests/ui/clients.py
.PHONY: check-viewers

help-lines += "make check-desktop  a graphical installer and an X desktop, operated in the window"
check-desktop: all
	$(Q)ORRERY=$(abspath $(EMULATOR)) python3 tests/ui/desktop.py
.PHONY: check-desktop
