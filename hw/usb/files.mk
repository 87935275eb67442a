emu += hw/usb/bus.c             # USB: ports, who sits in them, info usb
emu += hw/usb/device.c          # control transfers, standard requests, descriptors
emu += hw/usb/uhci.c            # UHCI host controller: registers, ports, time
emu += hw/usb/uhci-sched.c      # ... the schedule in guest memory
emu += hw/usb/hid.c             # HID class: reports, idle rate, who gets the events
emu += hw/usb/hid-kbd.c         # usb-kbd
emu += hw/usb/hid-pointer.c     # usb-mouse, usb-tablet
emu += hw/usb/hub.c             # usb-hub
