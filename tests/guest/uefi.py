# SPDX-License-Identifier: MIT
"""UEFI firmware (EDK II's OVMF) in flash chips: boots, and keeps its variables."""

import os
import shutil
import tempfile

import material
from boots import expect, weight
from vm import VM, Failed

NAME = "/sys/firmware/efi/efivars/Orrery-2f0e9b5c-8f63-4d3b-9c7e-0d1a5b6c7d8e"
NONVOLATILE = r"\007\000\000\000"       # kept, for boot services and at run time


def ovmf(name, folder="OVMF"):
    return material.installed_or_package("/usr/share/%s/%s" % (folder, name), "ovmf")


def linux(variables):
    return VM(["-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + ovmf("OVMF_CODE_4M.fd"),
               "-drive", "if=pflash,format=raw,unit=1,file=" + variables, "-no-reboot",
               "-kernel", material.kernel(), "-initrd",
               material.initramfs("efi-initramfs.cpio.gz", modules=material.MODULES + ["efivarfs"]),
               "-append", "console=ttyS0 mitigations=off"], mem="256")


def power_off(vm):
    vm.send("poweroff -f\n")
    if vm.wait_exit(60) != 0:
        raise Failed("exit status %d" % vm.proc.returncode)


@weight(3)
def test_uefi_variables():
    """OVMF in flash boots Linux; a variable that Linux sets is in the image, and there at the next start."""
    with tempfile.TemporaryDirectory() as d:
        variables = os.path.join(d, "vars.fd")
        shutil.copy(ovmf("OVMF_VARS_4M.fd"), variables)
        with linux(variables) as vm:
            vm.wait_serial("BusyBox shell", 300)
            vm.shell("mount -t efivarfs none /sys/firmware/efi/efivars")
            vm.shell("printf '%s%s' >%s" % (NONVOLATILE, "remember me", NAME))
            power_off(vm)
        with open(variables, "rb") as f:
            if b"remember me" not in f.read():
                raise Failed("the variable is not in the image")
        with linux(variables) as vm:
            vm.wait_serial("BusyBox shell", 300)
            vm.shell("mount -t efivarfs none /sys/firmware/efi/efivars")
            expect(vm.shell("cat " + NAME), "remember me")
            power_off(vm)


@weight(2)
def test_uefi_shell():
    """Code and variables in one file by -bios: OVMF comes to its shell."""
    with VM(["-bios", ovmf("OVMF.fd", "ovmf"), "-net", "none"], mem="256") as vm:
        vm.wait_serial("Shell>", 120)
