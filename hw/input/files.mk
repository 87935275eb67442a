emu += hw/input/ps2.c           # PS/2 keyboard and mouse
emu += hw/input/i8042.c         # keyboard controller
emu += hw/input/virtio-input.c  # keyboard, mouse and tablet on virtio
emu += hw/input/virtio-keys.c   # ... codes of keys
