emu += hw/misc/debugexit.c      # isa-debug-exit: exit port for test guests
emu += hw/misc/pc-testdev.c     # pc-testdev: what kvm-unit-tests access
emu += hw/misc/pvpanic.c        # pvpanic: panic notifier
