emu += hw/nvram/fw_cfg.c        # data for the firmware: items, files, DMA
