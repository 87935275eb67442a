emu += hw/acpi/pm1.c            # fixed ACPI registers: PM1 events and control, PM timer, GPE
emu += hw/acpi/piix4_pm.c       # PIIX4 function 3: power management
emu += hw/acpi/smbus_host.c     # its SMBus host controller
emu += hw/acpi/pcihp.c          # hot plugging of PCI functions
emu += hw/acpi/tables.c         # ACPI tables, linker commands for firmware
emu += hw/acpi/aml.c            # ACPI machine language
