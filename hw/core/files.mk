emu += hw/core/device.c         # device types, life of a device, global defaults
emu += hw/core/device-add.c     # -device: a device from a list of options; -device help
emu += hw/core/bus.c            # buses
emu += hw/core/reset.c          # system reset
emu += hw/core/qtree.c          # info qtree
