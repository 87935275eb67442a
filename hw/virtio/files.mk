emu += hw/virtio/virtio.c        # virtio devices: status, features, configuration
emu += hw/virtio/queue.c         # virtqueues: elements, notification, registers
emu += hw/virtio/split.c         # split ring
emu += hw/virtio/packed.c        # packed ring
emu += hw/virtio/virtio-pci.c    # PCI transport, legacy and modern
emu += hw/virtio/virtio-blk.c    # block device
emu += hw/virtio/virtio-blk-pci.c # ... as virtio-blk-pci
emu += hw/virtio/virtio-scsi.c    # SCSI host adapter virtio-scsi-pci
