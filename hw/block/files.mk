emu += hw/block/fdc.c           # 82078 floppy disk controller: registers
emu += hw/block/fdc-command.c   # ... its commands
emu += hw/block/fdc-data.c      # ... those that move sectors
emu += hw/block/floppy.c        # floppy drives, formats of disks
emu += hw/block/blkconf.c         # properties disk devices share
emu += hw/block/pflash-cfi01.c   # flash chips: firmware and its variables
