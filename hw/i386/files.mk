emu += hw/i386/pc.c             # the PC board: what is connected to what
emu += hw/i386/pc-memory.c      # its memory map and firmware ROM
emu += hw/i386/pc-cmos.c        # its CMOS bytes: memory, drives, boot order
emu += hw/i386/pc-fwcfg.c       # its firmware configuration items
emu += hw/i386/port92.c         # system control port A
