emu += hw/char/serial.c         # 16550A UART
emu += hw/char/isa-serial.c     # ... as COM1 to COM4
emu += hw/char/parallel.c       # parallel port with a printer
emu += hw/char/debugcon.c       # isa-debugcon: debug console port
