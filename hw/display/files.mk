emu += hw/display/vga.c         # VGA registers, Bochs VBE
emu += hw/display/vga-mem.c     # ... memory window: planes, latches, write modes
emu += hw/display/vga-draw.c    # ... graphics modes onto the surface
emu += hw/display/vga-text.c    # ... text modes
emu += hw/display/vga-pci.c     # VGA: the standard PCI card
emu += hw/display/vga-isa.c     # isa-vga
emu += hw/display/edid.c        # what the monitor tells about itself
