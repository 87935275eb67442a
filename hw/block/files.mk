emu += hw/block/fdc.c           # 82078 floppy disk controller
emu += hw/block/floppy.c        # floppy drives, formats of disks
emu += hw/block/blkconf.c         # properties disk devices share
