emu += hw/intc/i8259.c          # 8259A pair with the ELCR
emu += hw/intc/delivered.c      # did a timer's tick reach the guest
emu += hw/intc/apic.c           # local APICs
emu += hw/intc/apic-bus.c       # ... the bus between them, MSI
emu += hw/intc/apic-timer.c     # ... their timers
emu += hw/intc/apic-image.c     # ... in the accelerator
emu += hw/intc/ioapic.c         # I/O APIC
