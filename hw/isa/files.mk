emu += hw/isa/isa.c             # the ISA bus
emu += hw/isa/piix3.c           # PIIX3 function 0: ISA bridge, PCI interrupt routing, CF9h
