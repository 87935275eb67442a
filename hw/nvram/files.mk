emu += hw/nvram/fw_cfg.c        # data for the firmware: items, files, DMA
emu += hw/nvram/eeprom93xx.c    # serial EEPROMs of network cards
