lib += hw/core/device.c         # device types, life of a device, global defaults
lib += hw/core/device-add.c     # -device: a device from a list of options; -device help
lib += hw/core/bus.c            # buses
lib += hw/core/bootorder.c      # bootindex, Open Firmware paths
lib += hw/core/reset.c          # system reset
lib += hw/core/qtree.c          # info qtree
