emu += hw/block/fdc.c           # 82078 floppy disk controller
emu += hw/block/floppy.c        # floppy drives, formats of disks
