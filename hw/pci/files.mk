emu += hw/pci/pci.c             # functions: configuration space, BARs, interrupt pins, DMA
emu += hw/pci/pci-rom.c         # expansion ROMs
emu += hw/pci/pci-info.c        # info pci, info qtree
emu += hw/pci/msi.c             # MSI and MSI-X capabilities
emu += hw/pci/pci_host.c        # ports CF8h and CFCh
emu += hw/pci/i440fx.c          # 82441FX host bridge: shadow RAM, SMRAM
emu += hw/pci/pam.c             # windows of shadow RAM
