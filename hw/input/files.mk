emu += hw/input/ps2.c           # PS/2 keyboard and mouse
emu += hw/input/i8042.c         # keyboard controller
