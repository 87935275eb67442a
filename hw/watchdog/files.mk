emu += hw/watchdog/ib700.c          # ib700: watchdog at two ISA ports
emu += hw/watchdog/i6300esb.c       # i6300esb: watchdog of Intel's 6300ESB, a PCI function
