#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the commands of the machine protocol answer and do, on a PC without a running CPU."""

import base64
import os
import struct
import subprocess

from qmptest import EMULATOR, TestCase, main

DISK = 8 << 20


class Pc(TestCase):
    args = ["-M", "pc", "-accel", "qtest", "-m", "32", "-name", "guest=some name,debug-threads=on",
            "-uuid", "12345678-9abc-def0-1234-56789abcdef0", "-nodefaults", "-vga", "std",
            "-chardev", "ringbuf,id=ring,size=1024", "-chardev", "null,id=nothing",
            "-serial", "chardev:ring",
            "-drive", "file=DIR/disk,format=raw,if=ide,index=0,id=disk0",
            "-drive", "if=ide,index=2,media=cdrom,id=cd0",
            "-object", "memory-backend-ram,id=mem1,size=1M",
            "-device", "isa-debug-exit,id=exit0"]

    def prepare(self, folder):
        self.images = folder
        for name in ("disk", "cd.iso"):
            with open(os.path.join(folder, name), "wb") as f:
                f.truncate(DISK)

    # ---- questions ----

    def test_identity(self):
        self.assertEqual(self.c.call("query-name"), {"name": "some name"})
        self.assertEqual(self.c.call("query-uuid"), {"UUID": "12345678-9abc-def0-1234-56789abcdef0"})
        self.assertEqual(self.c.call("query-target"), {"arch": "x86_64"})
        self.assertEqual(self.c.call("query-memory-size-summary"),
                         {"base-memory": 32 << 20, "plugged-memory": 0})
        kvm = self.c.call("query-kvm")
        self.assertEqual(set(kvm) - {"kind"}, {"enabled", "present", "reason"})
        self.assertEqual("kind" in kvm, kvm["present"])
        self.assertFalse(kvm["enabled"])

    def test_status(self):
        self.assertEqual(self.c.call("query-status"),
                         {"status": "running", "singlestep": False, "running": True})
        self.c.call("stop")
        self.c.wait_event("STOP")
        self.assertEqual(self.c.call("query-status"),
                         {"status": "paused", "singlestep": False, "running": False})
        self.c.call("stop")
        self.c.call("cont")
        self.c.wait_event("RESUME")
        self.assertTrue(self.c.call("query-status")["running"])
        self.c.call("cont")

    def test_machines(self):
        machines = {m["name"]: m for m in self.c.call("query-machines")}
        self.assertIn("none", machines)
        pc = [m for m in machines.values() if m.get("alias") == "pc"]
        self.assertEqual(len(pc), 1)
        self.assertTrue(pc[0]["name"].startswith("pc-i440fx-"))
        self.assertTrue(pc[0]["is-default"])
        self.assertGreaterEqual(pc[0]["cpu-max"], 1)
        self.assertEqual(pc[0]["default-cpu-type"], "qemu64-x86_64-cpu")

    def test_cpus(self):
        cpu, = self.c.call("query-cpus-fast")
        self.assertEqual(cpu["cpu-index"], 0)
        self.assertEqual(cpu["target"], "x86_64")
        self.assertEqual(cpu["props"], {"core-id": 0, "thread-id": 0, "socket-id": 0})
        self.assertTrue(os.path.exists("/proc/%d/task/%d" % (self.vm.proc.pid, cpu["thread-id"])))
        self.assertEqual(self.c.call("qom-get", path=cpu["qom-path"], property="type"),
                         "qemu64-x86_64-cpu")
        self.c.call("qom-list", path=cpu["qom-path"])
        models = {m["name"] for m in self.c.call("query-cpu-definitions")}
        self.assertLessEqual({"qemu64", "max", "base"}, models)

    def test_lists(self):
        self.assertIn({"name": "RESET"}, self.c.call("query-events"))
        self.assertIn({"name": "query-events"}, self.c.call("query-commands"))
        self.assertEqual(self.c.call("query-qmp-schema"), [])
        options = {o["option"] for o in self.c.call("query-command-line-options")}
        self.assertLessEqual({"machine", "smp", "drive", "chardev"}, options)
        one, = self.c.call("query-command-line-options", option="drive")
        self.assertEqual(one["option"], "drive")
        self.assertIn("invalid option name", self.c.error("query-command-line-options",
                                                          option="nonsense")["desc"])
        self.assertEqual(self.c.call("query-iothreads"), [])
        self.assertIn({"capability": "events", "state": False},
                      self.c.call("query-migrate-capabilities"))
        self.c.call("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        self.assertIn({"capability": "events", "state": True},
                      self.c.call("query-migrate-capabilities"))
        self.c.error("migrate-set-capabilities", capabilities=[{"capability": "xbzrle", "state": True}])

    def test_pci(self):
        bus, = self.c.call("query-pci")
        ids = {(d["slot"], d["function"]): (d["id"]["vendor"], d["id"]["device"]) for d in bus["devices"]}
        self.assertEqual(ids[0, 0], (0x8086, 0x1237))
        self.assertEqual(ids[1, 0], (0x8086, 0x7000))
        self.assertEqual(ids[1, 1], (0x8086, 0x7010))
        self.assertEqual(ids[1, 3], (0x8086, 0x7113))
        self.assertIn((0x1234, 0x1111), ids.values())

    # ---- types and paths ----

    def test_types(self):
        types = {t["name"] for t in self.c.call("qom-list-types")}
        self.assertLessEqual({"isa-serial", "ide-hd", "VGA", "tcg-accel", "qtest-accel", "secret",
                              "memory-backend-ram", "qemu64-x86_64-cpu"}, types)
        pci = {t["name"] for t in self.c.call("qom-list-types", implements="pci-device")}
        self.assertIn("VGA", pci)
        self.assertNotIn("isa-serial", pci)
        props = {p["name"]: p for p in self.c.call("device-list-properties", typename="isa-serial")}
        self.assertIn("iobase", props)
        self.assertEqual(props["chardev"]["type"], "str")
        self.assertEqual(self.c.error("device-list-properties", typename="x")["class"], "DeviceNotFound")
        self.assertEqual(self.c.call("qom-list-properties", typename="nonsense"), [])
        names = {p["name"] for p in self.c.call("qom-list-properties", typename="memory-backend-ram")}
        self.assertIn("size", names)

    def test_paths(self):
        here = {e["name"]: e["type"] for e in self.c.call("qom-list", path="/machine/peripheral")}
        self.assertEqual(here["exit0"], "child<isa-debug-exit>")
        self.assertEqual(self.c.call("qom-get", path="/machine/peripheral/exit0", property="iosize"), 2)
        self.assertEqual(self.c.call("qom-get", path="exit0", property="realized"), True)
        self.assertEqual(self.c.call("qom-get", path="/objects/mem1", property="size"), 1 << 20)
        self.assertEqual(self.c.error("qom-list", path="/machine/nothing")["class"], "DeviceNotFound")
        self.assertIn("not found", self.c.error("qom-get", path="exit0", property="x")["desc"])
        for path in ("/", "/machine", "/machine/unattached", "/machine/peripheral-anon", "/objects",
                     "/chardevs", "/machine/unattached/device[1]", "/machine/peripheral/"):
            self.assertIsInstance(self.c.call("qom-list", path=path), list)
        for path in ("", "/machine/unattached/device[99999999999]", "/machine/unattached/device[-1]",
                     "//", "/machine/unattached/device[1", "/objects/", "a/b"):
            self.c.ask("qom-list", path=path)

    def test_objects(self):
        self.c.call("object-add", qom_type="secret", id="s1", data="abc")
        self.assertIn("s1", [e["name"] for e in self.c.call("qom-list", path="/objects")])
        self.c.error("object-add", qom_type="secret", id="s1", data="abc")
        self.c.error("object-add", qom_type="secret", id="s2")
        self.c.error("object-add", qom_type="nonsense", id="s2")
        self.c.call("object-del", id="s1")
        self.c.error("object-del", id="s1")

    def test_devices_after_the_start(self):
        self.assertIn("hotplug", self.c.error("device_add", driver="isa-debug-exit", id="e1")["desc"])
        self.assertIn("hotplug", self.c.error("device_del", id="exit0")["desc"])
        self.assertEqual(self.c.error("device_del", id="none")["class"], "DeviceNotFound")

    # ---- drives ----

    def test_block(self):
        drives = {d["device"]: d for d in self.c.call("query-block")}
        disk, cd = drives["disk0"], drives["cd0"]
        self.assertFalse(disk["removable"])
        self.assertEqual(disk["io-status"], "ok")
        self.assertEqual(disk["inserted"]["image"]["virtual-size"], DISK)
        self.assertEqual(disk["inserted"]["drv"], "raw")
        self.assertFalse(disk["inserted"]["ro"])
        self.assertTrue(cd["removable"])
        self.assertFalse(cd["tray_open"])
        self.assertNotIn("inserted", cd)
        stats = {d["device"]: d["stats"] for d in self.c.call("query-blockstats")}
        self.assertEqual(stats["disk0"]["wr_operations"], 0)
        nodes = {n["node-name"]: n for n in self.c.call("query-named-block-nodes", flat=True)}
        root = nodes[disk["inserted"]["node-name"]]
        self.assertEqual((root["drv"], root["image"]["virtual-size"]), ("raw", DISK))
        stats = {n["node-name"]: n for n in self.c.call("query-blockstats", query_nodes=True)}
        self.assertEqual(set(stats), set(nodes))

    def test_nodes(self):
        self.c.call("blockdev-add", driver="null-co", node_name="n1", size=1 << 20)
        self.c.error("blockdev-add", driver="null-co", node_name="n1", size=1 << 20)
        self.c.error("blockdev-add", driver="nonsense", node_name="n2")
        self.c.error("blockdev-add", driver="null-co")
        self.assertIn("n1", [n["node-name"] for n in self.c.call("query-named-block-nodes")])
        self.c.call("blockdev-del", node_name="n1")
        self.c.error("blockdev-del", node_name="n1")
        disk, = [d for d in self.c.call("query-block") if d["device"] == "disk0"]
        self.c.error("blockdev-del", node_name=disk["inserted"]["node-name"])

    def test_resize(self):
        self.c.call("block_resize", device="disk0", size=2 * DISK)
        self.assertEqual(os.stat(os.path.join(self.images, "disk")).st_size, 2 * DISK)
        inserted = [d for d in self.c.call("query-block") if d["device"] == "disk0"][0]["inserted"]
        self.assertEqual(inserted["image"]["virtual-size"], 2 * DISK)
        self.c.call("block_resize", device="disk0", size=DISK)
        self.c.error("block_resize", device="disk0", size=DISK + 1)
        self.c.error("block_resize", device="cd0", size=DISK)
        self.c.error("block_resize", **{"node-name": "nothing", "size": DISK})

    def test_external_snapshot(self):
        top = os.path.join(self.images, "top.qcow2")
        self.c.call("blockdev-snapshot-sync", device="disk0", **{"snapshot-file": top})
        inserted = [d for d in self.c.call("query-block") if d["device"] == "disk0"][0]["inserted"]
        self.assertEqual((inserted["drv"], inserted["file"]), ("qcow2", top))
        self.assertEqual(inserted["backing_file_depth"], 1)
        self.assertEqual(inserted["image"]["backing-filename"],
                         os.path.realpath(os.path.join(self.images, "disk")))
        self.c.error("blockdev-snapshot-sync", device="cd0", **{"snapshot-file": top + "2"})
        self.c.error("blockdev-snapshot-sync", device="disk0", format="raw",
                     **{"snapshot-file": top + "2"})
        self.c.error("blockdev-snapshot-sync", device="disk0",
                     **{"snapshot-file": os.path.join(self.images, "none", "x")})

    def test_internal_snapshots(self):
        path = os.path.join(self.images, "snap.qcow2")
        tool = os.path.join(os.path.dirname(EMULATOR), "orrery-img")
        subprocess.run([tool, "create", "-q", "-f", "qcow2", path, "8M"], check=True)
        self.c.call("blockdev-change-medium", device="cd0", filename=path, format="qcow2",
                    **{"read-only-mode": "read-write"})
        self.c.call("blockdev-snapshot-internal-sync", device="cd0", name="one")
        self.c.error("blockdev-snapshot-internal-sync", device="cd0", name="one")
        self.c.error("blockdev-snapshot-internal-sync", device="disk0", name="one")
        image = [d for d in self.c.call("query-block") if d["device"] == "cd0"][0]["inserted"]["image"]
        self.assertEqual([s["name"] for s in image["snapshots"]], ["one"])
        self.assertEqual(image["format-specific"]["type"], "qcow2")
        gone = self.c.call("blockdev-snapshot-delete-internal-sync", device="cd0", name="one")
        self.assertEqual((gone["id"], gone["name"]), ("1", "one"))
        self.c.error("blockdev-snapshot-delete-internal-sync", device="cd0", name="one")
        self.c.call("eject", device="cd0", force=True)

    def test_media(self):
        iso = os.path.join(self.images, "cd.iso")
        self.c.call("blockdev-change-medium", device="cd0", filename=iso, format="raw")
        cd, = [d for d in self.c.call("query-block") if d["device"] == "cd0"]
        self.assertEqual(cd["inserted"]["file"], iso)
        self.assertTrue(cd["inserted"]["ro"])
        self.c.call("eject", device="cd0")
        cd, = [d for d in self.c.call("query-block") if d["device"] == "cd0"]
        self.assertNotIn("inserted", cd)
        self.c.error("eject", device="disk0")
        self.assertEqual(self.c.error("eject", device="nothing")["class"], "DeviceNotFound")
        self.c.error("blockdev-change-medium", device="cd0", filename=iso + "x")
        self.c.error("blockdev-change-medium", device="cd0", filename=iso, read_only_mode="x")
        self.c.error("eject")

    # ---- character devices ----

    def test_chardevs(self):
        devs = {d["label"]: d for d in self.c.call("query-chardev")}
        self.assertTrue(devs["ring"]["frontend-open"])
        self.assertFalse(devs["nothing"]["frontend-open"])
        self.c.call("ringbuf-write", device="ring", data="hello")
        self.c.call("chardev-remove", id="nothing")
        self.c.error("chardev-remove", id="nothing")
        self.c.error("chardev-remove", id="ring")       # in use
        self.c.error("ringbuf-read", device="none", size=3)
        self.c.error("ringbuf-read", device="ring", size=0)
        self.c.error("ringbuf-read", device="ring", size=1, format="x")

    def test_serial_output_reaches_the_ring(self):
        for ch in b"Hi\xff":
            self.c.hmp("o/b 0x3f8 %d" % ch)
        data = self.c.call("ringbuf-read", device="ring", size=10, format="base64")
        self.assertEqual(base64.b64decode(data), b"Hi\xff")

    # ---- memory, screen, input ----

    def test_memory_files(self):
        path = os.path.join(self.images, "mem")
        self.c.call("pmemsave", val=0xfffffff0, size=16, filename=path)
        with open(path, "rb") as f:
            data = f.read()
        self.assertEqual(len(data), 16)
        self.assertEqual(data[0], 0xea)                 # the reset vector's far jump
        self.c.call("memsave", val=0, size=100, filename=path)
        self.assertEqual(os.path.getsize(path), 100)
        self.c.error("memsave", val=0, size=1, filename=path, cpu_index=7)
        self.c.error("pmemsave", val=0, size=1, filename=self.images + "/none/x")

    def test_screendump(self):
        path = os.path.join(self.images, "screen")
        self.c.call("screendump", filename=path)
        with open(path, "rb") as f:
            header = f.read(32).split()
        self.assertEqual(header[0], b"P6")
        width, height = int(header[1]), int(header[2])
        self.c.call("screendump", filename=path, format="png")
        with open(path, "rb") as f:
            data = f.read()
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack(">II", data[16:24]), (width, height))
        for bad in ({"format": "gif"}, {"device": "none"}, {"head": 1},
                    {"device": "exit0", "head": 0}):
            self.c.error("screendump", filename=path, **bad)
        self.c.error("screendump", filename=self.images + "/none/x")

    def test_keys(self):
        def keys(*names):
            return [{"type": "qcode", "data": n} for n in names]
        self.c.call("send-key", keys=keys("ctrl", "alt", "delete"))
        self.c.call("send-key", keys=[{"type": "number", "data": 28}], hold_time=1)
        for bad in (keys("nonsense"), [{"type": "number", "data": 9999}], [1], [{"type": "x", "data": 1}],
                    keys(*["a"] * 1000)):
            self.c.error("send-key", keys=bad)

    def test_input_events(self):
        self.c.call("input-send-event", events=[
            {"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "a"}}},
            {"type": "key", "data": {"down": False, "key": {"type": "qcode", "data": "a"}}},
            {"type": "rel", "data": {"axis": "x", "value": 5}},
            {"type": "rel", "data": {"axis": "y", "value": -5}},
            {"type": "abs", "data": {"axis": "x", "value": 100}},
            {"type": "btn", "data": {"down": True, "button": "left"}}])
        for bad in ({}, {"type": "key"}, {"type": "key", "data": {}}, {"type": "btn", "data": {"down": True}},
                    {"type": "btn", "data": {"down": True, "button": "x"}},
                    {"type": "rel", "data": {"axis": "z", "value": 5}}, {"type": "x", "data": {}}):
            self.c.error("input-send-event", events=[bad])
        mice = self.c.call("query-mice")
        self.assertEqual(sum(m["current"] for m in mice), 1)

    # ---- the rest ----

    def test_nmi(self):
        self.c.call("inject-nmi")

    def test_human_monitor_command(self):
        text = self.c.call("human-monitor-command", command_line="info status")
        self.assertEqual(text, "VM status: running\r\n")
        self.assertIn("unknown command", self.c.hmp("nonsense"))
        self.assertEqual(self.c.hmp(""), "")
        self.c.error("human-monitor-command", command_line="info status", cpu_index=3)

    def test_powerdown_without_a_guest(self):
        self.c.call("system_powerdown")
        self.assertNotIn("data", self.c.wait_event("POWERDOWN"))

    def test_reset(self):
        self.c.call("system_reset")
        self.assertEqual(self.c.wait_event("RESET")["data"],
                         {"guest": False, "reason": "host-qmp-system-reset"})
        self.assertTrue(self.c.call("query-status")["running"])
        self.c.call("stop")
        self.c.call("system_reset")
        self.c.wait_event("RESET")
        self.assertEqual(self.c.call("query-status")["status"], "prelaunch")

    def test_clock_set_by_the_guest(self):
        for reg, value in ((0x0b, 0x82), (9, 0x30), (8, 1), (7, 1), (4, 0), (2, 0), (0, 0), (0x0b, 2)):
            self.c.hmp("o/b 0x70 %d" % reg)
            self.c.hmp("o/b 0x71 %d" % value)
        self.assertIsInstance(self.c.wait_event("RTC_CHANGE")["data"]["offset"], int)

    def test_wakeup_of_one_awake(self):
        self.assertIn("not in suspended state", self.c.error("system_wakeup")["desc"])

    def test_actions(self):
        self.c.call("set-action", reboot="shutdown", shutdown="pause", panic="none", watchdog="debug")
        self.c.error("set-action", reboot="x")
        self.c.call("watchdog-set-action", action="reset")
        self.c.call("system_reset")
        self.assertEqual(self.c.wait_event("SHUTDOWN")["data"],
                         {"guest": False, "reason": "host-qmp-system-reset"})
        self.c.wait_event("STOP")
        self.assertEqual(self.c.call("query-status")["status"], "shutdown")
        self.assertIn("Resetting the Virtual Machine is required", self.c.error("cont")["desc"])
        self.c.call("set-action", reboot="reset")
        self.c.call("system_reset")
        self.c.wait_event("RESET")
        self.assertEqual(self.c.call("query-status")["status"], "prelaunch")
        self.c.call("cont")
        self.c.wait_event("RESUME")

    def test_quit(self):
        self.c.call("quit")
        self.assertEqual(self.c.wait_event("SHUTDOWN")["data"], {"guest": False, "reason": "host-qmp-quit"})
        self.assertEqual(self.vm.wait(), 0)


class Paused(TestCase):
    args = ["-M", "pc", "-accel", "qtest", "-S", "-nodefaults"]

    def test_prelaunch(self):
        self.assertEqual(self.c.call("query-status"),
                         {"status": "prelaunch", "singlestep": False, "running": False})
        self.c.call("cont")
        self.c.wait_event("RESUME")
        self.assertEqual(self.c.call("query-status")["status"], "running")

    def test_plugging_before_the_start(self):
        self.c.call("device_add", driver="isa-debug-exit", id="e1", iobase="0x1f4")
        self.assertIn("e1", [e["name"] for e in self.c.call("qom-list", path="/machine/peripheral")])
        self.assertIn("Duplicate", self.c.error("device_add", driver="isa-debug-exit", id="e1")["desc"])
        self.c.error("device_add", driver="nonsense")
        self.c.error("device_add", driver="isa-debug-exit", nonsense=1)
        self.c.call("device_del", id="e1")
        e = self.c.wait_event("DEVICE_DELETED")
        self.assertEqual(e["data"], {"device": "e1", "path": "/machine/peripheral/e1"})
        self.c.call("device_add", driver="isa-debug-exit", id="e1", iobase=500)
        self.assertEqual(self.c.call("qom-get", path="e1", property="iobase"), 500)

    def test_no_screen(self):
        self.assertIn("no console", self.c.error("screendump", filename="/dev/null")["desc"])


if __name__ == "__main__":
    main()
