emu += hw/dma/i8237.c           # two 8237A DMA controllers, page registers
