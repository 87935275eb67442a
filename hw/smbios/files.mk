emu += hw/smbios/smbios.c       # SMBIOS tables, -smbios
