#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disks through the machine protocol: nodes, limits, snapshots, jobs, in the order in which
management programs send their commands."""

import json
import os
import shutil
import subprocess
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "qmp"))
from qmptest import EMULATOR, Emulator      # noqa: E402

IMG = os.environ.get("ORRERY_IMG", os.path.join(os.path.dirname(EMULATOR), "orrery-img"))
QEMU = shutil.which("qemu-img")
SIZE = 4 << 20


def img(*args):
    subprocess.run([IMG, *[str(a) for a in args]], check=True, stdout=subprocess.PIPE)


def content(seed):
    return b"".join(bytes([(i * 37 + seed) % 251]) * 512 for i in range(SIZE >> 9))


class Disks(unittest.TestCase):
    ARGS = ["-machine", "none",
            "-drive", "if=none,id=disk0,file=DIR/disk.qcow2,format=qcow2,discard=unmap"]

    def prepare(self, folder):
        self.folder = folder
        with open(folder + "/disk.raw", "wb") as f:
            f.write(content(1))
        img("convert", "-f", "raw", "-O", "qcow2", folder + "/disk.raw", folder + "/disk.qcow2")

    def setUp(self):
        self.vm = Emulator(self.ARGS, prepare=self.prepare)
        self.c = self.vm.client()

    def tearDown(self):
        status, errors = self.vm.close()[:2]
        self.assertEqual(status, 0, errors)

    def path(self, name):
        return os.path.join(self.folder, name)

    def disk(self):
        return [d for d in self.c.call("query-block") if d["device"] == "disk0"][0]["inserted"]

    def wait_job(self, job, status):
        while True:
            e = self.c.wait_event("JOB_STATUS_CHANGE")["data"]
            if (e["id"], e["status"]) == (job, status):
                return

    def same(self, a, b="disk.raw"):
        if QEMU:
            subprocess.run([QEMU, "check", "-q", "-U", self.path(a)], check=True)
        img("compare", "-q", "-U", "-F", "raw", self.path(a), self.path(b))


class Nodes(Disks):
    def test_blockdev_forms(self):
        path = self.path("b.qcow2")
        img("create", "-q", "-f", "qcow2", path, "1M")
        self.c.call("blockdev-add", driver="file", filename=path, node_name="f0",
                    auto_read_only=True, discard="unmap")
        self.c.call("blockdev-add", driver="qcow2", node_name="q0", file="f0", read_only=True,
                    backing=None, cache={"direct": False, "no-flush": True})
        nodes = {n["node-name"]: n for n in self.c.call("query-named-block-nodes", flat=True)}
        self.assertTrue(nodes["q0"]["ro"])
        self.assertTrue(nodes["f0"]["ro"])              # as nobody writes
        self.assertTrue(nodes["q0"]["cache"]["no-flush"])
        with open(path, "rb") as f:
            f.read(1)
        img("info", path)                               # a reader's lock only
        self.assertIn("in use", self.c.error("blockdev-del", node_name="f0")["desc"])
        self.c.call("blockdev-del", node_name="q0")
        self.c.call("blockdev-add", driver="qcow2", node_name="q0", file="f0", read_only=False)
        nodes = {n["node-name"]: n for n in self.c.call("query-named-block-nodes")}
        self.assertFalse(nodes["f0"]["ro"])
        self.assertNotEqual(subprocess.run([IMG, "info", path], stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE).returncode, 0)
        self.c.call("blockdev-del", node_name="q0")
        self.c.call("blockdev-del", node_name="f0")
        self.c.call("blockdev-add", driver="qcow2", node_name="q1",
                    file={"driver": "file", "filename": path})
        self.c.call("blockdev-del", node_name="q1")
        name = "json:" + json.dumps({"driver": "qcow2", "file": {"driver": "file", "filename": path}})
        self.assertIn("1 MiB", subprocess.run([IMG, "info", name], check=True,
                                              stdout=subprocess.PIPE).stdout.decode())
        self.assertIn("did you mean", self.c.error("blockdev-add", driver="qcow3", node_name="x")["desc"])
        self.assertIn("nonsense", self.c.error("blockdev-add", driver="file", node_name="x",
                                               filename=path, nonsense=1)["desc"])

    def test_copy_on_read(self):
        """What is read from a backing file through the filter is the image's own afterwards."""
        top = self.path("top.qcow2")
        img("create", "-q", "-f", "qcow2", "-b", self.path("disk.raw"), "-F", "raw", top)
        self.c.call("blockdev-add", driver="copy-on-read", node_name="cor", file={
            "driver": "qcow2", "node-name": "q", "file": {"driver": "file", "filename": top}})
        self.c.call("drive-backup", device="cor", job_id="b", sync="full", format="raw",
                    target=self.path("read.raw"))
        self.wait_job("b", "null")
        self.c.call("blockdev-del", node_name="cor")
        img("rebase", "-u", "-b", "", top)              # nothing is missing without it
        self.same("top.qcow2")
        img("compare", "-q", self.path("read.raw"), self.path("disk.raw"))

    def test_copy_on_read_bottom(self):
        """What lies below the bottom node is not copied."""
        base, middle, top = (self.path(n) for n in ("base.raw", "middle.qcow2", "top.qcow2"))
        with open(base, "wb") as f:
            f.write(b"a" * (1 << 20))
        with open(self.path("want.raw"), "wb") as f:
            f.write(b"b" * (1 << 19) + b"a" * (1 << 19))
        with open(self.path("half.raw"), "wb") as f:
            f.write(b"b" * (1 << 19))
        img("convert", "-f", "raw", "-O", "qcow2", self.path("half.raw"), middle)
        img("resize", middle, "1M")
        img("rebase", "-u", "-b", base, "-F", "raw", middle)
        img("create", "-q", "-f", "qcow2", "-b", middle, "-F", "qcow2", top)

        def chain(bottom):
            return dict(driver="copy-on-read", node_name="cor", bottom=bottom, file={
                "driver": "qcow2", "node-name": "q", "file": {"driver": "file", "filename": top},
                "backing": {"driver": "qcow2", "node-name": "m", "file": {"driver": "file", "filename": middle}}})
        self.c.error("blockdev-add", **chain("x"))
        self.c.error("blockdev-add", **chain("cor"))
        self.c.error("blockdev-add", **chain("disk0"))
        self.c.call("blockdev-add", **chain("m"))
        self.c.call("drive-backup", device="cor", job_id="b", sync="full", format="raw",
                    target=self.path("read.raw"))
        self.wait_job("b", "null")
        self.c.call("blockdev-del", node_name="cor")
        img("compare", "-q", self.path("read.raw"), self.path("want.raw"))
        found = json.loads(subprocess.run([IMG, "map", "--output=json", top], check=True,
                                          stdout=subprocess.PIPE).stdout)
        self.assertEqual({e["start"] >= 1 << 19: e["depth"] for e in found}, {False: 0, True: 2})

    def test_corrupt_image(self):
        """A write that would hit a table is refused, said and remembered."""
        path = self.path("bad.qcow2")
        img("convert", "-f", "raw", "-O", "qcow2", self.path("disk.raw"), path)
        with open(path, "r+b") as f:            # the first data lie on the L1 table
            f.seek(40)
            l1 = int.from_bytes(f.read(8), "big")
            f.seek(l1)
            l2 = int.from_bytes(f.read(8), "big") & 0xffffffffffffff
            f.seek(l2)
            f.write((l1 | 1 << 63).to_bytes(8, "big"))
        self.c.call("blockdev-add", driver="qcow2", node_name="bad",
                    file={"driver": "file", "filename": path})
        self.c.call("blockdev-add", driver="raw", node_name="good", read_only=True,
                    file={"driver": "file", "filename": self.path("disk.raw")})
        self.c.call("blockdev-mirror", job_id="j", device="good", target="bad", sync="full")
        e = self.c.wait_event("BLOCK_IMAGE_CORRUPTED")["data"]
        self.assertEqual((e["node-name"], e["device"], e["offset"], e["fatal"]), ("bad", "", l1, True))
        self.assertIn("overlaps with the active L1 table", e["msg"])
        self.wait_job("j", "null")
        self.c.call("blockdev-del", node_name="bad")
        self.assertIn("corrupt: true", subprocess.run([IMG, "info", path], check=True,
                                                      stdout=subprocess.PIPE).stdout.decode())

    def test_reopen(self):
        path = self.path("r.qcow2")
        img("create", "-q", "-f", "qcow2", path, "4M")
        self.c.call("blockdev-add", driver="file", node_name="f", filename=path)
        self.c.call("blockdev-add", driver="qcow2", node_name="q", file="f")
        self.c.call("blockdev-add", driver="raw", node_name="base",
                    file={"driver": "file", "filename": self.path("disk.raw")}, read_only=True)

        def node(name):
            return [n for n in self.c.call("query-named-block-nodes") if n["node-name"] == name][0]
        same = {"driver": "qcow2", "node-name": "q", "file": "f"}
        self.c.call("blockdev-reopen", options=[dict(same, backing="base", **{"read-only": True}), {
            "driver": "file", "node-name": "f", "filename": path, "read-only": True,
            "cache": {"no-flush": True}}])
        q, f = node("q"), node("f")
        self.assertTrue(q["ro"] and f["ro"] and f["cache"]["no-flush"])
        self.assertEqual(q["backing_file_depth"], 1)
        # one that can't be: neither changes
        self.c.error("blockdev-reopen", options=[dict(same, backing=None), {
            "driver": "file", "node-name": "f", "filename": path + "x"}])
        self.assertEqual(node("q")["backing_file_depth"], 1)
        for bad, word in ((dict(same), "backing is missing"), (dict(same, backing="q"), "cycle"),
                          (dict(same, backing=None, driver="raw"), "driver"),
                          (dict(same, backing=None, size=1), "size"), ({"node-name": "no"}, "no")):
            self.assertIn(word, self.c.error("blockdev-reopen", options=[bad])["desc"])
        self.c.call("blockdev-reopen", options=[dict(same, backing=None)])
        self.assertFalse(node("q")["ro"])
        self.assertEqual(node("q")["backing_file_depth"], 0)
        for name in ("q", "f", "base"):
            self.c.call("blockdev-del", node_name=name)

    def test_limits(self):
        none = dict(bps=0, bps_rd=0, bps_wr=0, iops=0, iops_rd=0, iops_wr=0)

        def limits(device="disk0", **kw):
            args = dict(none, device=device)
            args.update(kw)
            return self.c.raw(json.dumps({"execute": "block_set_io_throttle", "arguments": args}) + "\n")
        self.assertIn("return", limits(iops=100, iops_max=200, iops_max_length=3, bps_rd=1 << 20))
        d = self.disk()
        self.assertEqual((d["iops"], d["iops_max"], d["iops_max_length"], d["bps_rd"], d["group"]),
                         (100, 200, 3, 1 << 20, "disk0"))
        self.assertIn("error", limits(iops=100, iops_rd=100))
        self.assertIn("error", limits(bps=100, bps_max=50))
        self.assertIn("error", limits(device="nothing"))
        self.assertIn("return", limits())
        self.assertNotIn("group", self.disk())
        self.c.call("object-add", qom_type="throttle-group", id="tg0", limits={"iops-total": 50})
        self.c.call("blockdev-add", driver="null-co", node_name="n0", size=1 << 20)
        self.c.call("blockdev-add", driver="throttle", node_name="t0", file="n0",
                    throttle_group="tg0")
        self.c.call("blockdev-del", node_name="t0")
        self.c.error("blockdev-add", driver="throttle", node_name="t0", file="n0",
                     throttle_group="tg1")


class Jobs(Disks):
    def snapshot(self, name):
        """As libvirt makes one: create, open, transaction."""
        path, node = self.path(name + ".qcow2"), name + "-format"
        self.c.call("blockdev-create", job_id="create-file",
                    options={"driver": "file", "filename": path, "size": 0})
        self.wait_job("create-file", "concluded")
        self.c.call("job-dismiss", id="create-file")
        self.c.call("blockdev-add", driver="file", filename=path, node_name=name + "-storage",
                    auto_read_only=True, discard="unmap")
        self.c.call("blockdev-create", job_id="create-format",
                    options={"driver": "qcow2", "file": name + "-storage", "size": SIZE,
                             "backing-file": self.path("disk.qcow2"), "backing-fmt": "qcow2"})
        self.wait_job("create-format", "concluded")
        jobs = self.c.call("query-jobs")
        self.assertEqual([(j["id"], j["status"], j.get("error")) for j in jobs],
                         [("create-format", "concluded", None)])
        self.c.call("job-dismiss", id="create-format")
        self.c.call("blockdev-add", driver="qcow2", node_name=node, read_only=False,
                    file=name + "-storage", backing=None)
        below = self.disk()["node-name"]
        self.c.call("transaction", actions=[{"type": "blockdev-snapshot",
                                             "data": {"node": below, "overlay": node}}])
        self.assertEqual(self.disk()["node-name"], node)
        return below, node

    def test_snapshot_and_commit(self):
        below, node = self.snapshot("snap1")
        self.c.call("block-commit", device=node, job_id="commit0", auto_finalize=True,
                    auto_dismiss=False, top_node=node, base_node=below)
        self.assertEqual(self.c.wait_event("BLOCK_JOB_READY")["data"]["type"], "commit")
        job, = self.c.call("query-block-jobs")
        self.assertTrue(job["ready"])
        self.assertEqual((job["device"], job["status"], job["io-status"]), ("commit0", "ready", "ok"))
        self.c.error("blockdev-del", node_name=node)
        self.c.call("job-complete", id="commit0")
        self.wait_job("commit0", "concluded")
        self.assertEqual(self.c.call("query-jobs")[0]["status"], "concluded")
        self.c.call("job-dismiss", id="commit0")
        self.assertEqual(self.disk()["node-name"], below)
        self.c.call("blockdev-del", node_name=node)
        self.same("disk.qcow2")

    def test_stream(self):
        self.snapshot("snap1")
        self.c.call("block-stream", device="disk0", speed=64 << 20)
        self.wait_job("disk0", "null")
        self.assertEqual(self.disk()["backing_file_depth"], 0)
        self.same("snap1.qcow2")

    def test_drive_mirror(self):
        self.c.call("drive-mirror", device="disk0", target=self.path("copy.qcow2"), sync="full",
                    format="qcow2")
        self.c.wait_event("BLOCK_JOB_READY")
        self.c.call("block-job-complete", device="disk0")
        self.c.wait_event("BLOCK_JOB_COMPLETED")
        self.assertEqual(self.disk()["file"], self.path("copy.qcow2"))
        self.same("copy.qcow2")
        self.assertEqual(self.c.error("block-job-cancel", device="disk0")["class"], "DeviceNotActive")

    def test_steering(self):
        self.c.call("drive-mirror", device="disk0", job_id="j", target=self.path("copy.raw"),
                    sync="full", format="raw", speed=65536)
        self.c.call("block-job-pause", device="j")
        self.wait_job("j", "paused")
        self.c.error("block-job-cancel", device="j")
        self.c.error("job-dismiss", id="j")
        self.c.call("block-job-set-speed", device="j", speed=0)
        self.c.call("job-resume", id="j")
        self.wait_job("j", "ready")
        self.c.error("drive-mirror", device="disk0", job_id="k", target=self.path("x"), sync="full")
        self.c.error("block_resize", device="disk0", size=SIZE * 2)
        self.c.call("block-job-cancel", device="j")
        self.c.wait_event("BLOCK_JOB_COMPLETED")
        with open(self.path("copy.raw"), "rb") as a, open(self.path("disk.raw"), "rb") as b:
            self.assertTrue(a.read() == b.read())

    def test_backup_transaction(self):
        self.c.call("transaction", actions=[
            {"type": "drive-backup", "data": {"device": "disk0", "job-id": "b0", "sync": "full",
                                              "target": self.path("b0.qcow2"), "compress": True}},
            {"type": "block-dirty-bitmap-add", "data": {"node": "disk0", "name": "m0"}}])
        self.wait_job("b0", "null")
        self.same("b0.qcow2")
        self.assertEqual(self.disk()["dirty-bitmaps"][0]["name"], "m0")
        e = self.c.error("transaction", actions=[
            {"type": "block-dirty-bitmap-add", "data": {"node": "disk0", "name": "m1"}},
            {"type": "blockdev-snapshot-sync",
             "data": {"device": "disk0", "snapshot-file": self.path("no.qcow2")}},
            {"type": "abort", "data": {}}])
        self.assertIn("Abort", e["desc"])
        self.assertEqual([b["name"] for b in self.disk()["dirty-bitmaps"]], ["m0"])
        self.assertEqual(self.disk()["backing_file_depth"], 0)
        self.c.call("block-dirty-bitmap-remove", node="disk0", name="m0")
        self.c.error("block-dirty-bitmap-clear", node="disk0", name="m0")
        self.c.error("transaction", actions=[{"type": "what", "data": {}}])

    def test_grouped_transaction(self):
        """All or none: jobs of a transaction wait for each other, and fail with each other."""
        def backups(grouped, speed):
            self.c.call("transaction", properties={"completion-mode": grouped}, actions=[
                {"type": "drive-backup", "data": {
                    "device": {"g0": "disk0", "g1": "d1"}[job], "job-id": job, "sync": "full",
                    "format": "qcow2", "speed": speed if job == "g1" else 0,
                    "target": self.path(job + ".qcow2"), "auto-dismiss": False}} for job in ("g0", "g1")])

        def result(job):
            return {j["id"]: j.get("error") for j in self.c.call("query-jobs")}[job]
        self.c.call("blockdev-add", driver="raw", node_name="d1", read_only=True,
                    file={"driver": "file", "filename": self.path("disk.raw")})
        backups("grouped", 65536)
        self.wait_job("g0", "waiting")
        self.c.call("block-job-set-speed", device="g1", speed=0)
        self.wait_job("g1", "concluded")
        self.assertEqual((result("g0"), result("g1")), (None, None))
        for job in ("g0", "g1"):
            self.c.call("job-dismiss", id=job)
            self.same(job + ".qcow2")
        backups("grouped", 65536)
        self.wait_job("g0", "waiting")
        self.c.call("job-cancel", id="g1")
        self.wait_job("g0", "concluded")
        self.assertIsNotNone(result("g0"))
        self.c.call("job-dismiss", id="g0")
        self.c.call("job-dismiss", id="g1")
        self.c.error("transaction", actions=[], properties={"completion-mode": "what"})

    def test_kept_bitmap(self):
        """A persistent bitmap is in the image when its node is closed, and back when it opens."""
        path = self.path("kept.qcow2")
        img("create", "-q", "-f", "qcow2", path, "4M")
        node = dict(driver="qcow2", node_name="k", file={"driver": "file", "filename": path})
        self.c.call("blockdev-add", **node)
        self.c.call("block-dirty-bitmap-add", node="k", name="b", granularity=65536, persistent=True)
        self.c.call("block-dirty-bitmap-add", node="k", name="gone")
        self.c.call("blockdev-mirror", job_id="m", device="disk0", target="k", sync="full")
        self.wait_job("m", "ready")
        self.c.call("block-job-cancel", device="m")
        self.wait_job("m", "null")
        self.c.call("blockdev-del", node_name="k")
        self.c.call("blockdev-add", **node)
        kept, = [n for n in self.c.call("query-named-block-nodes") if n["node-name"] == "k"]
        b, = kept["dirty-bitmaps"]
        self.assertEqual((b["name"], b["persistent"], b["recording"], b["count"]), ("b", True, True, SIZE))
        self.c.call("block-dirty-bitmap-remove", node="k", name="b")
        self.c.call("blockdev-del", node_name="k")
        img("check", "-q", path)
        self.c.call("blockdev-add", driver="file", node_name="f", filename=self.path("disk.raw"))
        self.c.error("block-dirty-bitmap-add", node="f", name="b", persistent=True)

    def test_manual_ends(self):
        self.c.call("drive-backup", device="disk0", sync="full", target=self.path("b.raw"),
                    format="raw", auto_finalize=False, auto_dismiss=False)
        self.c.wait_event("BLOCK_JOB_PENDING")
        self.c.call("job-finalize", id="disk0")
        self.wait_job("disk0", "concluded")
        self.c.error("job-finalize", id="disk0")
        self.c.call("block-job-dismiss", id="disk0")
        self.assertEqual(self.c.call("query-block-jobs"), [])

    def test_monitor_for_people(self):
        self.assertIn("No active jobs", self.c.hmp("info block-jobs"))
        self.assertEqual(self.c.hmp("block_set_io_throttle disk0 0 0 0 1000 0 0"), "")
        self.assertEqual(self.disk()["iops"], 1000)
        self.assertEqual(self.c.hmp("block_set_io_throttle disk0 0 0 0 0 0 0"), "")
        self.assertEqual(self.c.hmp("drive_mirror -f disk0 %s qcow2" % self.path("copy.qcow2")), "")
        self.c.wait_event("BLOCK_JOB_READY")
        self.assertIn("Type mirror, device disk0: Completed %d of %d" % (SIZE, SIZE),
                      self.c.hmp("info block-jobs"))
        self.assertEqual(self.c.hmp("block_job_complete disk0"), "")
        self.c.wait_event("BLOCK_JOB_COMPLETED")
        self.assertIn("Error", self.c.hmp("block_job_cancel disk0"))
        self.assertEqual(self.c.hmp("snapshot_blkdev disk0 %s" % self.path("s.qcow2")), "")
        self.assertEqual(self.disk()["backing_file_depth"], 1)
        self.assertEqual(self.c.hmp("nbd_server_start unix:%s" % self.path("nbd")), "")
        self.assertEqual(self.c.hmp("nbd_server_add -w disk0"), "")
        self.assertEqual(self.c.hmp("nbd_server_stop"), "")

    def test_quit_ends_jobs(self):
        self.c.call("drive-mirror", device="disk0", target=self.path("copy.raw"), sync="full",
                    format="raw", speed=1000)


if __name__ == "__main__":
    unittest.main()
