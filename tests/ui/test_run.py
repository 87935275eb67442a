#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""orrery run: what it makes of files, its messages, and the commands of docs/for-users.md, run as they
are written there."""

import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import material                                                     # noqa: E402
import xserver                                                      # noqa: E402
from libqtest import EMULATOR, PATIENCE                             # noqa: E402

BUILD = os.path.dirname(os.path.abspath(EMULATOR))
ORRERY = os.path.join(BUILD, "orrery")
IMG = os.path.join(BUILD, "orrery-img")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ends_cleanly(pid):
    """Does the process catch SIGTERM?"""
    with open("/proc/%d/status" % pid) as f:
        caught = int(re.search(r"^SigCgt:\s*(\w+)", f.read(), re.M).group(1), 16)
    return caught >> (signal.SIGTERM - 1) & 1


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="orrery-run-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ("DISPLAY", "WAYLAND_DISPLAY", "PULSE_SERVER", "SDL_AUDIODRIVER")}
        self.env["XDG_RUNTIME_DIR"] = self.dir + "/run"
        os.mkdir(self.dir + "/run", 0o700)

    def orrery(self, *args, status=0):
        r = subprocess.run([ORRERY, *args], cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * PATIENCE)
        self.assertEqual(r.returncode, status, r)
        return r.stdout.decode(), r.stderr.decode()

    def command(self, *args):
        """The words of the command line that is printed, and the notes."""
        out, notes = self.orrery("run", "--print-command", *args)
        self.assertEqual(out.count("\n"), 1)
        return shlex.split(out), notes

    def refused(self, *args):
        out, err = self.orrery("run", *args, status=1)
        self.assertEqual((out, err.count("\n")), ("", 1), err)
        return err

    def write(self, name, data, size=None):
        with open(os.path.join(self.dir, name), "wb") as f:
            f.write(data)
            if size:
                f.truncate(size)
        return name

    def mbr(self, kind, name="disk.img", code=b"\xfa"):
        entry = struct.pack("<B3sB3sII", 0x80, b"", kind, b"", 2048, 4096)
        return self.write(name, code.ljust(446, b"\0") + entry + bytes(48) + b"\x55\xaa", 8 << 20)

    def option(self, words, name):
        """Values of an option that may be given several times."""
        return [words[i + 1] for i, w in enumerate(words) if w == name]


def iso(label, names, bios=True, efi=False):
    """A small ISO 9660 image with these names in its root."""
    root = b"".join(struct.pack("<BB8s8s7sBBB4sB", 33 + len(n) + (len(n) + 1) % 2, 0, b"", b"", b"", 0, 0, 0,
                                b"", len(n)) + n + bytes((len(n) + 1) % 2)
                    for n in [b"\0", b"\1"] + [x.encode() for x in names])
    record = struct.pack("<BBII", 34, 0, 20, 0) + struct.pack("<I", len(root)).ljust(24, b"\0")
    volume = (b"\1CD001\1\0" + bytes(32) + label.encode().ljust(32)).ljust(156, b"\0") + record
    boot = b"\0CD001\1EL TORITO SPECIFICATION".ljust(0x47, b"\0") + struct.pack("<I", 21)
    catalogue = struct.pack("<BB26sHBB", 1, 0 if bios else 0xef, b"", 0, 0x55, 0xaa) + b"\x88".ljust(32, b"\0")
    if efi:
        catalogue += struct.pack("<BBH", 0x91, 0xef, 1).ljust(32, b"\0") + b"\x88".ljust(32, b"\0")
    data = bytearray(24 * 2048)
    for sector, content in ((16, volume), (17, boot), (18, b"\xffCD001\1"), (20, root), (21, catalogue)):
        data[sector * 2048:sector * 2048 + len(content)] = content
    return bytes(data)


class Guesses(Case):
    def test_linux_disk_gets_virtio(self):
        words, notes = self.command(self.mbr(0x83))
        self.assertIn("file=disk.img,format=raw,if=virtio", self.option(words, "-drive"))
        self.assertEqual(self.option(words, "-nic"), ["user,model=virtio-net-pci"])
        self.assertIn("a disk with Linux, format raw", notes)
        words, _ = self.command("--compatible", "disk.img")
        self.assertIn("file=disk.img,format=raw,if=ide", self.option(words, "-drive"))

    def test_other_disks_get_what_all_know(self):
        words, notes = self.command(self.mbr(0x07))
        self.assertIn("file=disk.img,format=raw,if=ide", self.option(words, "-drive"))
        self.assertEqual(self.option(words, "-nic"), ["user,model=e1000"])
        self.assertEqual(self.option(words, "-rtc"), ["base=localtime"])
        self.assertIn("with Windows", notes)
        words, _ = self.command("--virtio", "disk.img")
        self.assertIn("file=disk.img,format=raw,if=virtio", self.option(words, "-drive"))

    def test_formats(self):
        raw = self.mbr(0x83)
        for fmt in ("qcow2", "vmdk", "vdi", "vpc"):
            subprocess.run([IMG, "convert", "-f", "raw", "-O", fmt, raw, "x." + fmt], cwd=self.dir,
                           check=True, stdout=subprocess.DEVNULL)
            words, notes = self.command("x." + fmt)
            self.assertIn("file=x.%s,format=%s,if=virtio" % (fmt, fmt), " ".join(self.option(words, "-drive")))

    def test_gpt(self):
        def disk(types, code):
            table = b"".join(bytes.fromhex(t).ljust(128, b"\1") for t in types)
            header = (b"EFI PART" + bytes(64) + struct.pack("<QII", 2, len(types), 128)).ljust(512, b"\0")
            self.write("gpt.img", (code.ljust(510, b"\0") + b"\x55\xaa" + header + table), 8 << 20)
            return self.command("gpt.img")
        esp, linux = "28732ac11ff8d211ba4b00a0c93ec93b", "af3dc60f838472478e793d69d8477de4"
        bios = "4861682149646f6e744e656564454649"
        words, notes = disk([esp, linux], b"")
        self.assertIn("UEFI only", notes)
        self.assertIn("if=virtio", " ".join(words))
        self.assertIn("if=pflash,format=raw,unit=1,file=gpt.img.uefi-vars", self.option(words, "-drive"))
        self.assertFalse(os.path.exists(self.dir + "/gpt.img.uefi-vars"))
        words, notes = disk([bios, esp, linux], b"\xfa")
        self.assertNotIn("UEFI", notes)
        words, notes = disk([esp, "16e3c9e35c0bb84d817df92df00215ae"], b"\xfa")
        self.assertIn("with Windows", notes)

    def test_discs(self):
        self.write("l.iso", iso("Debian 12", ["DISTS", "INSTALL.AMD"]))
        words, notes = self.command("l.iso")
        self.assertIn("file=l.iso,format=raw,index=2,media=cdrom,readonly=on", self.option(words, "-drive"))
        self.assertEqual(self.option(words, "-boot"), ["order=d"])
        self.assertIn("a disc 'Debian 12' with Linux\n", notes)
        self.assertNotIn("boot", notes)
        self.write("w.iso", iso("CCCOMA", ["BOOTMGR.;1", "SOURCES"], efi=True))
        words, notes = self.command("w.iso", "--disk", "new.qcow2,20G")
        self.assertIn("with Windows", notes)
        self.assertIn("would be made", notes)
        self.assertIn("file=new.qcow2,format=qcow2,if=ide,discard=unmap", self.option(words, "-drive"))
        self.assertEqual(self.option(words, "-boot"), ["once=d"])
        self.assertFalse(os.path.exists(self.dir + "/new.qcow2"))
        self.write("e.iso", iso("EFI", [], bios=False))
        self.assertIn("UEFI only", self.command("e.iso")[1])

    def test_uefi(self):
        self.mbr(0x83)
        code = r"if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/\S+ "
        words, notes = self.command("--uefi", "disk.img")
        self.assertRegex(" ".join(words), code)
        self.assertIn("'disk.img.uefi-vars' would be made", notes)
        self.assertFalse(os.path.exists(self.dir + "/disk.img.uefi-vars"))
        words, notes = self.command("--uefi", "--try", "disk.img")
        self.assertRegex(" ".join(words), r"unit=1,file=/usr/share/\S+,snapshot=on")
        self.write("w.iso", iso("CCCOMA", ["BOOTMGR.;1", "SOURCES"], efi=True))
        words, _ = self.command("--uefi", "w.iso", "--disk", "new.qcow2,20G")
        self.assertIn("if=pflash,format=raw,unit=1,file=new.qcow2.uefi-vars", self.option(words, "-drive"))
        words, _ = self.command("--uefi", "w.iso")
        self.assertRegex(" ".join(words), r"unit=1,file=/usr/share/\S+,snapshot=on")
        self.orrery("run", "--uefi", "--vnc", "disk.img", "--", "-M", "nonsense", status=1)
        self.assertGreater(os.path.getsize(self.dir + "/disk.img.uefi-vars"), 100000)
        words, notes = self.command("--uefi", "--try", "disk.img")
        self.assertNotIn("made", notes)
        self.assertIn("unit=1,file=disk.img.uefi-vars,snapshot=on", " ".join(words))

    def test_empty_disk(self):
        subprocess.run([IMG, "create", "-q", "-f", "qcow2", "e.qcow2", "1G"], cwd=self.dir, check=True)
        self.assertIn("Nothing is on this disk yet", self.command("e.qcow2")[1])

    def test_floppy(self):
        self.write("f.img", b"\xeb\x3c\x90".ljust(510, b"\0") + b"\x55\xaa", 1440 * 1024)
        words, _ = self.command("f.img")
        self.assertIn("file=f.img,format=raw,if=floppy", self.option(words, "-drive"))
        self.assertEqual(self.option(words, "-boot"), ["order=a"])

    def test_kernel_and_its_initramfs(self):
        kernel = bytes(0x1fe) + b"\x55\xaa\0\0HdrS" + bytes(4096)
        self.write("vmlinuz-6.1", kernel)
        words, _ = self.command("vmlinuz-6.1", "--append", "quiet a=b")
        self.assertEqual((self.option(words, "-kernel"), self.option(words, "-append"),
                          self.option(words, "-initrd")), (["vmlinuz-6.1"], ["quiet a=b"], []))
        self.write("initrd.img-6.1", b"x")
        words, _ = self.command("--terminal", "./vmlinuz-6.1")
        self.assertEqual(self.option(words, "-initrd"), ["./initrd.img-6.1"])
        self.assertEqual(self.option(words, "-append"), ["console=ttyS0"])
        self.assertIn("-nographic", words)

    def test_strange_names(self):
        os.rename(self.dir + "/" + self.mbr(0x83), self.dir + "/a b,c'd.img")
        words, _ = self.command("a b,c'd.img")
        self.assertIn("file=a b,,c'd.img,format=raw,if=virtio", self.option(words, "-drive"))

    def test_choices(self):
        self.mbr(0x83)
        words, notes = self.command("-m", "1G", "-c", "3", "--no-kvm", "--try", "--forward", "2222:22", "--forward",
                                    "8080:80", "--name", "x", "disk.img", "--", "-S", "-d", "int")
        self.assertEqual(words[-3:], ["-S", "-d", "int"])
        self.assertEqual((self.option(words, "-m"), self.option(words, "-smp"), self.option(words, "-accel"),
                          self.option(words, "-name")), (["1024"], ["3"], ["tcg"], ["x"]))
        self.assertIn("hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8080-:80", " ".join(words))
        self.assertIn("snapshot=on", " ".join(words))

    def test_where_it_is_seen(self):
        self.mbr(0x83)
        words, notes = self.command("disk.img")
        display = re.match(r"127\.0\.0\.1:(\d+)$", self.option(words, "-vnc")[0]).group(1)
        self.assertIn("VNC at 127.0.0.1:%d" % (5900 + int(display)), notes)
        with socket.socket() as s:              # taken: the next one
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", 5900 + int(display)))
                s.listen()
                words, _ = self.command("disk.img")
                self.assertNotEqual(self.option(words, "-vnc"), ["127.0.0.1:" + display])
            except OSError:
                pass                            # by somebody else meanwhile
        self.env["DISPLAY"] = ":77"
        words, _ = self.command("disk.img")
        self.assertEqual(self.option(words, "-display"), ["sdl,window-close=powerdown"])
        self.assertEqual(self.option(words, "-vnc"), [])
        self.assertEqual(self.option(self.command("--vnc", "disk.img")[0], "-display"), [])


class Refusals(Case):
    def test_files(self):
        for data, word in ((b"\x1f\x8b".ljust(600), "gunzip"), (b"\xfd7zXZ\0".ljust(600), "unxz"),
                           (b"PK\3\4".ljust(600), "zip"), (b"070701".ljust(600), "--initrd"),
                           (bytes(257) + b"ustar" + bytes(400), "OVA"), (b"", "is empty"),
                           (bytes(0x38) + b"ARMd" + bytes(600), "ARM"),
                           (b"\177ELF\2\1\1" + bytes(9) + b"\3\0\x3e\0" + bytes(600), "not a kernel"),
                           (b"\177ELF\2\1\1" + bytes(9) + b"\2\0\xb7\0" + bytes(600), "another processor"),
                           (b"hello", "hello.bin")):
            self.write("hello.bin", data)
            err = self.refused("hello.bin")
            self.assertIn(word, err)
            self.assertIn("hello.bin", err)
        self.assertIn("folder", self.refused("."))
        self.assertIn("No such file", self.refused("nothing.iso"))

    def test_options(self):
        self.mbr(0x83)
        for args, word in ((["--initrd", "x", "disk.img"], "--initrd"), (["-m", "lots", "disk.img"], "--memory lots"),
                           (["--forward", "22", "disk.img"], "HOSTPORT:GUESTPORT"), (["-c", "0", "disk.img"], "--cpus"),
                           (["--window", "disk.img"], "DISPLAY"), (["--virtio", "--compatible", "disk.img"], "question"),
                           (["--background", "--terminal", "disk.img"], "--terminal"), ([], "what?"),
                           (["disk.img", "disk.img"], "one thing"), (["--disk", "x,huge", "disk.img"], "'huge'"),
                           (["--disk", "nothing", "disk.img"], "nothing"), (["--full-screen", "disk.img"], "window")):
            self.assertIn(word, self.refused(*args), args)
        self.assertIn("orrery run disk.img", self.orrery("disk.img", status=1)[1])
        self.assertIn("no machine", self.orrery("stop", "x", status=1)[1])


class Documented(Case):
    """The commands of docs/for-users.md, one after the other in one folder."""

    def prepare(self):
        gone = xserver.missing()
        if gone:
            self.skipTest("not installed: " + " ".join(gone))
        try:
            shutil.copy(material.grub_cdrom(), self.dir + "/debian.iso")
            shutil.copy(material.grub_floppy(), self.dir + "/floppy.img")
            shutil.copy(material.kernel(), self.dir + "/vmlinuz")
            shutil.copy(material.initramfs(), self.dir + "/initrd.gz")
        except material.Missing as e:
            self.skipTest(str(e))
        with open(self.dir + "/floppy.img", "r+b") as f:
            f.truncate(1440 * 1024)
        self.mbr(0x83, "server.img")
        subprocess.run([IMG, "convert", "-f", "raw", "-O", "qcow2", "server.img", "server.qcow2"], cwd=self.dir,
                       check=True)
        with open(os.path.join(material.TOP, "docs", "for-users.md")) as f:
            commands = re.findall(r"^    (orrery .*)$", f.read(), re.M)
        self.assertGreater(len(commands), 9)
        self.env["PATH"] = BUILD + ":" + self.env["PATH"]
        self.port = free_port()
        return [c.replace("2222:", "%d:" % self.port) for c in commands]

    def connects(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def stays(self, command, x):
        """A machine in the foreground: seen in a window or heard on the terminal, then ended."""
        with open(self.dir + "/out", "wb+") as out:
            p = subprocess.Popen(["sh", "-c", "exec " + command], cwd=self.dir, env=self.env, stdin=subprocess.PIPE,
                                 stdout=out, stderr=out)
            try:
                if "--terminal" in command:
                    x.wait("the shell", lambda: b"BusyBox shell" in self.said(p), 120)
                    p.stdin.write(b"\1x")
                    p.stdin.flush()
                    self.assertEqual(p.wait(60 * PATIENCE), 0, self.said(None))
                    return
                x.wait("a window", lambda: self.said(p) and x.do("search", "--class", "orrery").split())
                x.wait("its start", lambda: ends_cleanly(p.pid))
            finally:
                p.terminate()
                status = p.wait(60 * PATIENCE)
                p.stdin.close()
        self.assertEqual(status, 0, self.said(None))

    def said(self, p):
        """What it wrote; it must not have ended."""
        with open(self.dir + "/out", "rb") as f:
            text = f.read()
        if p and p.poll() is not None:
            self.fail(text.decode(errors="replace"))
        return text

    def test_commands(self):
        commands = self.prepare()
        x = xserver.XServer()
        self.addCleanup(x.close)
        self.env["DISPLAY"] = x.display
        self.env["SDL_VIDEODRIVER"] = "x11"
        for command in commands:
            with self.subTest(command=command):
                if "--background" not in command and "--print-command" not in command and " run " in command:
                    self.stays(command, x)
                    continue
                r = subprocess.run(["sh", "-c", command], cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90 * PATIENCE)
                self.assertEqual(r.returncode, 0, r.stdout)
                if "--background" in command:
                    self.addCleanup(subprocess.run, [ORRERY, "stop", "web", "--now"], env=self.env,
                                    stderr=subprocess.DEVNULL)
                    self.assertTrue(self.connects())
                elif "list" in command:
                    self.assertEqual(r.stdout, b"web\n")
                elif "stop" in command:
                    self.assertFalse(self.connects())
                    self.assertEqual(self.orrery("list")[0], "")
        self.assertTrue(os.path.exists(self.dir + "/desktop.qcow2"))


if __name__ == "__main__":
    unittest.main(verbosity=1)
