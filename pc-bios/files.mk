# Firmware of our own, assembled here.  The bytes go into the emulator: boot-rom.c includes them.
$(BUILD)/pc-bios/boot.bin: pc-bios/boot.S
	@mkdir -p $(@D)
	@echo "  AS    $<"
	$(Q)$(X86_CC) -m32 -c -o $(@:.bin=.o) $<
	$(Q)$(X86_OBJCOPY) -O binary -j .text $(@:.bin=.o) $@

$(BUILD)/obj/hw/i386/boot-rom.o: $(BUILD)/pc-bios/boot.bin
CFLAGS_hw/i386/boot-rom.c := -DBOOT_ROM='"$(BUILD)/pc-bios/boot.bin"'
