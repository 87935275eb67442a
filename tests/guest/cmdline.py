# SPDX-License-Identifier: MIT
"""Wrong command lines: one clear line on stderr that names what is wrong, exit status 1."""

import os
import subprocess
import tempfile

from vm import EMULATOR, PATIENCE, Failed

# arguments, words the line must contain.  {d} is a folder with an empty file "empty", a file
# "odd" of 513 bytes, and no file "none".
BAD = [
    ("-nosuchoption", ["-nosuchoption"]),
    ("-displya none", ["-displya"]),
    ("-m 5Q", ["-m", "5Q"]),
    ("-m 0", ["-m"]),
    ("-m -1", ["-m"]),
    ("-m 999999999T", ["-m"]),
    ("-m 64T", ["memory|RAM|-m"]),
    ("-m", ["-m"]),
    ("-M nosuchmachine", ["nosuchmachine"]),
    ("-machine pc,nosuchprop=1", ["nosuchprop"]),
    ("-cpu nosuchcpu", ["nosuchcpu"]),
    ("-cpu qemu64,+nosuchflag", ["nosuchflag"]),
    ("-smp 0", ["-smp|smp|CPU"]),
    ("-smp 100000", ["smp|CPU"]),
    ("-smp x", ["x"]),
    ("-accel nosuchaccel", ["nosuchaccel"]),
    ("-accel tcg,nosuchprop=1", ["nosuchprop"]),
    ("-accel tcg,engine=jit,host-fp=off", ["engine"]),
    ("-sandbox on", ["sandbox"]),
    ("-echr 300", ["echr", "300"]),
    ("-smp 2,maxcpus=1", ["maxcpus|smp"]),
    ("-device VGA,addr=40", ["addr"]),
    ("-device ide-hd", ["drive"]),
    ("-global isa-serial.nosuchprop=1", ["nosuchprop"]),
    ("-boot once=q", ["q"]),
    ("-fw_cfg name=opt/x,file={d}/none", ["none"]),
    ("-acpitable file={d}/none", ["none"]),
    ("-smbios file={d}/none", ["none"]),
    ("-option-rom {d}/none", ["none"]),
    ("-pflash {d}/odd", ["odd"]),
    ("-D {d}/none/log -d int", ["none/log"]),
    ("-action panic=nosuch", ["nosuch"]),
    ("-watchdog-action nosuch", ["nosuch"]),
    ("-object rng-random,id=r,filename={d}/none", ["none"]),
    ("-device virtio-rng-pci,rng=nosuch", ["rng=nosuch"]),
    ("-m 16,slots=2", ["slots"]),
    ("-device nosuchdevice", ["nosuchdevice"]),
    ("-device isa-serial,nosuchprop=1", ["nosuchprop"]),
    ("-device isa-serial,chardev=nosuchchr", ["nosuchchr"]),
    ("-device isa-debug-exit,iobase=banana", ["iobase", "banana"]),
    ("-drive file={d}/none,format=raw", ["none"]),
    ("-drive file={d}/empty,format=nosuchformat", ["nosuchformat"]),
    ("-drive file={d}/odd,format=raw,nosuchkey=1", ["nosuchkey"]),
    ("-drive file={d},format=raw", ["{d}"]),
    ("-drive file={d}/empty,format=raw,if=ide", ["empty"]),
    ("-drive file={d}/odd,format=raw,if=ide", ["odd"]),
    ("-hda {d}/none", ["none"]),
    ("-cdrom {d}/none", ["none"]),
    ("-fda {d}/none", ["none"]),
    ("-drive file={d}/odd,format=raw,if=nosuchif", ["nosuchif"]),
    ("-bios {d}/none", ["none"]),
    ("-bios {d}/empty", ["empty"]),
    ("-bios {d}", ["{d}"]),
    ("-kernel {d}/none", ["none"]),
    ("-kernel {d}/odd", ["odd"]),
    ("-initrd {d}/none -kernel {d}/none", ["none"]),
    ("-append foo", ["-append|append", "-kernel|kernel"]),
    ("-serial nosuchbackend", ["nosuchbackend"]),
    ("-serial tcp:nohost", ["tcp|port|nohost"]),
    ("-chardev nosuch,id=x", ["nosuch"]),
    ("-chardev socket,id=x", ["path|host|port|socket"]),
    ("-chardev file,id=x", ["path"]),
    ("-monitor nosuchbackend", ["nosuchbackend"]),
    ("-qmp nosuchbackend", ["nosuchbackend"]),
    ("-display nosuchdisplay", ["nosuchdisplay"]),
    ("-vga nosuchvga", ["nosuchvga"]),
    ("-boot order=q", ["q"]),
    ("-boot nosuchkey=1", ["nosuchkey"]),
    ("-rtc base=yesterday", ["yesterday"]),
    ("-uuid 123", ["123"]),
    ("-d nosuchitem", ["nosuchitem"]),
    ("-readconfig {d}/none", ["none"]),
    ("-global nosuch", ["nosuch"]),
    ("-nic nosuchmodel", ["nosuchmodel"]),
    ("-nic hubport,hubid=1,model=nosuchcard", ["nosuchcard", "e1000"]),
    ("-nic hubport,hubid=1,mac=01:00:00:00:00:00", ["mac", "multicast"]),
    ("-netdev nosuchtype,id=a", ["nosuchtype"]),
    ("-netdev vde,id=a", ["vde"]),
    ("-netdev hubport,hubid=1", ["id"]),
    ("-netdev hubport,id=a,hubid=x", ["hubid", "x"]),
    ("-netdev hubport,id=a,hubid=1,nosuchkey=2", ["nosuchkey"]),
    ("-netdev hubport,id=a,hubid=1 -netdev hubport,id=a,hubid=1", ["a"]),
    ("-device e1000,netdev=nosuchnet", ["nosuchnet"]),
    ("-netdev tap,id=a,vhost=off,vhostfd=3", ["vhostfd"]),
    ("-netdev tap,id=a,fd=0", ["fd=0"]),
    ("-netdev socket,id=a", ["listen", "connect"]),
    ("-netdev socket,id=a,mcast=127.0.0.1:99", ["multicast"]),
    ("-netdev stream,id=a,addr.type=unix", ["path"]),
    ("-netdev stream,id=a,server=on,addr.type=unix,addr.path={d}/none/x", ["none/x"]),
    ("-netdev dgram,id=a", ["local"]),
    ("-object filter-dump,id=f,netdev=nosuchnet", ["nosuchnet"]),
    ("-netdev hubport,id=a,hubid=1 -object filter-dump,id=f,netdev=a,file={d}/none/x", ["none/x"]),
    ("-pidfile {d}/none/pid", ["none/pid"]),
    ("{d}/none", ["none"]),
]


def test_bad_options():
    """Each wrong command line gets one clear line and exit status 1."""
    import re
    problems = []
    with tempfile.TemporaryDirectory() as d:
        open(d + "/empty", "wb").close()
        with open(d + "/odd", "wb") as f:
            f.write(b"x" * 513)
        for line, words in BAD:
            args = [a.replace("{d}", d) for a in line.split()]
            if not any(a == "-display" for a in args):
                args += ["-display", "none"]
            try:
                r = subprocess.run([EMULATOR] + args, stdin=subprocess.DEVNULL, cwd=d,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10 * PATIENCE)
            except subprocess.TimeoutExpired:
                problems.append("%s: was accepted" % line)
                continue
            text = r.stderr.decode(errors="replace").strip()
            lines = [x for x in text.split("\n") if x and ": warning:" not in x]
            if r.returncode != 1:
                problems.append("%s: exit status %d (%s)" % (line, r.returncode, text[-200:]))
            elif len(lines) != 1:
                problems.append("%s: %d lines: %s" % (line, len(lines), text[-300:]))
            else:
                for w in words:
                    if not re.search(w.replace("{d}", d), lines[0]):
                        problems.append("%s: no %r in: %s" % (line, w, lines[0]))
    if problems:
        raise Failed("%d of %d:\n%s" % (len(problems), len(BAD), "\n".join(problems)))


def test_help():
    """-help and -version print and exit with status 0."""
    for args, word in ((["-help"], b"-machine"), (["-version"], b"version"), (["--version"], b"version"),
                       (["-machine", "help"], b"pc"), (["-cpu", "help"], b"qemu64"),
                       (["-device", "help"], b"isa-debugcon"), (["-device", "isa-serial,help"], b"iobase"),
                       (["-d", "help"], b"in_asm"), (["-accel", "help"], b"tcg")):
        r = subprocess.run([EMULATOR] + args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=10 * PATIENCE)
        if r.returncode or word not in r.stdout + r.stderr:
            raise Failed("%s: exit status %d: %s" % (" ".join(args), r.returncode,
                                                     (r.stdout + r.stderr)[-300:]))


test_bad_options.weight = 0
test_help.weight = 0
assert os.path.isabs(EMULATOR) or os.environ.get("ORRERY")
