emu += hw/intc/i8259.c          # 8259A pair with the ELCR
emu += hw/intc/delivered.c      # did a timer's tick reach the guest
