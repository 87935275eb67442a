emu += hw/scsi/scsi-bus.c       # SCSI bus: addresses, requests, sense
emu += hw/scsi/scsi-disk.c      # device scsi-hd
emu += hw/scsi/scsi-cd.c        # device scsi-cd
