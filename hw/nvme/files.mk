emu += hw/nvme/nvme.c           # PCI function nvme: registers, resets, state
emu += hw/nvme/nvme-queue.c     # queues, interrupts, life of a command
emu += hw/nvme/nvme-dma.c       # PRPs
emu += hw/nvme/nvme-admin.c     # admin commands
emu += hw/nvme/nvme-info.c      # identify, log pages
emu += hw/nvme/nvme-io.c        # NVM command set
