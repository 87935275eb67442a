#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The machine protocol: greeting, negotiation, framing, errors, hostile input."""

import json
import socket
import time

from qmptest import TestCase, main


class Negotiation(TestCase):
    def test_greeting(self):
        c = self.c
        version = c.greeting["QMP"]["version"]
        self.assertEqual({k: type(v) for k, v in version["qemu"].items()},
                         {"major": int, "minor": int, "micro": int})
        self.assertGreaterEqual((version["qemu"]["major"], version["qemu"]["minor"]), (4, 2))
        self.assertIsInstance(version["package"], str)
        self.assertIsInstance(c.greeting["QMP"]["capabilities"], list)
        self.assertEqual(c.call("query-version"), version)

    def test_lines_end_with_crlf(self):
        self.c.send('{"execute":"query-status"}')
        self.assertTrue(self.c.line().endswith(b"\r\n"))

    def test_again(self):
        e = self.c.error("qmp_capabilities")
        self.assertEqual(e["class"], "CommandNotFound")


class BeforeNegotiation(TestCase):
    def setUp(self):
        super().setUp()
        self.c.close()
        self.c = self.vm.client(negotiate=False)

    def test_commands_are_refused(self):
        e = self.c.error("query-status")
        self.assertEqual(e["class"], "CommandNotFound")
        self.assertIn("qmp_capabilities", e["desc"])

    def test_unknown_capability(self):
        e = self.c.error("qmp_capabilities", enable=["oob"])
        self.assertEqual(e["class"], "GenericError")
        self.assertEqual(self.c.error("query-status")["class"], "CommandNotFound")
        self.c.call("qmp_capabilities", enable=[])
        self.c.call("query-status")

    def test_no_events(self):
        self.c.raw('{"execute":"nonsense"}')
        # the reset another client asks for is not told to this one
        self.c.call("qmp_capabilities")
        self.c.call("system_reset")
        self.c.wait_event("RESET")


class Requests(TestCase):
    def test_id(self):
        for i in (1, "x", None, [1, {"a": None}], {"b": 2.5}, True):
            r = self.c.raw(json.dumps({"execute": "query-status", "id": i}))
            self.assertEqual(r["id"], i)
            r = self.c.raw(json.dumps({"execute": "no-such-thing", "id": i}))
            self.assertEqual(r["id"], i)
        self.assertNotIn("id", self.c.raw('{"execute":"query-status"}'))

    def test_error_classes(self):
        self.assertEqual(self.c.error("no-such-thing"), {
            "class": "CommandNotFound", "desc": "The command no-such-thing has not been found"})
        self.assertEqual(self.c.error("device-list-properties", typename="x")["class"],
                         "DeviceNotFound")

    def test_arguments(self):
        def desc(text):
            r = self.c.raw(text)
            self.assertEqual(r["error"]["class"], "GenericError", r)
            return r["error"]["desc"]
        self.assertIn("'path' is missing", desc('{"execute":"qom-list"}'))
        self.assertIn("'foo' is unexpected",
                      desc('{"execute":"query-status","arguments":{"foo":1}}'))
        self.assertIn("Invalid parameter type for 'path', expected: string",
                      desc('{"execute":"qom-list","arguments":{"path":1}}'))
        self.assertIn("'execute' must be a string", desc('{"execute":1}'))
        self.assertIn("'arguments' must be an object", desc('{"execute":"stop","arguments":[]}'))
        self.assertIn("lacks member 'execute'", desc('{"arguments":{}}'))
        self.assertIn("'more' is unexpected", desc('{"execute":"stop","more":1}'))
        self.assertIn("must be a JSON object", desc('[1]'))
        self.assertIn("must be a JSON object", desc('"x"'))

    def test_every_command_survives_no_and_odd_arguments(self):
        names = [c["name"] for c in self.c.call("query-commands")]
        self.assertEqual(len(names), len(set(names)))
        odd = [{}, {"x": 1}, {"device": "x"}, {"id": 5}, {"path": "/machine/x"}, {"filename": 1},
               {"val": -1, "size": 1 << 70, "filename": ""}, {"keys": [1]}, {"events": [{}]},
               {"option": "", "capability": None}, {"capabilities": [{}]}, {"typename": ""},
               {"driver": "x", "id": "1"}, {"qom-type": "secret"}]
        for name in names:
            if name in ("quit", "qmp_capabilities"):
                continue
            for a in odd:
                r = self.c.raw(json.dumps({"execute": name, "arguments": a}) + "\n")
                self.assertTrue("return" in r or r["error"]["desc"], (name, a, r))
        self.c.call("query-status")


class Framing(TestCase):
    def test_pieces(self):
        for ch in '{"execute": "query-status", "id": "\\u00e9\\"}{"}':
            self.c.send(ch)
        self.assertEqual(self.c.reply()["id"], "é\"}{")

    def test_many_at_once(self):
        self.c.send('{"execute":"query-status","id":1}{"execute":"query-name","id":2}\n'
                    '{"execute":"query-uuid","id":3}')
        self.assertEqual([self.c.reply()["id"] for _ in range(3)], [1, 2, 3])

    def test_garbage(self):
        for bad in (b"}\n", b"]]]\n", b"{\"a\" 1}\n", b"nonsense\n", b"'unfinished\n", b"\x00\x01\n",
                    b"\"\xff\xfe\"\n", b"{\"execute\":\"stop\",}\n", b"\"\\ud800\"\n", b"1e999999\n",
                    b"[" * 5000 + b"\n"):
            self.c.send(bad)
            self.assertIn("error", self.c.reply(), bad)
            # an error may be followed by others of the same line
            self.c.send(b"\xff\n")
            self.resync()

    def resync(self):
        mark = time.monotonic_ns()
        self.c.send(json.dumps({"execute": "query-status", "id": mark}) + "\n")
        for _ in range(10000):
            if self.c.reply().get("id") == mark:
                return
        self.fail("no answer any more")

    def test_single_quotes(self):
        self.assertIn("return", self.c.raw("{'execute': 'query-status'}"))

    def test_binary_noise(self):
        import random
        rnd = random.Random(1)
        for _ in range(50):
            self.c.send(bytes(rnd.randrange(256) for _ in range(200)) + b"\xff\n")
            self.resync()

    def test_disconnect_in_the_middle(self):
        self.c.send('{"execute": "query-st')
        self.c.close()
        self.c = self.vm.client()
        self.c.call("query-status")

    def test_client_that_does_not_read(self):
        self.c.sock.settimeout(1)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += self.c.sock.send(b'{"execute":"query-commands"}\n' * 100)
        except socket.timeout:
            pass
        self.assertLess(sent, 64 << 20)     # it stopped listening before using up memory
        self.c.close()
        self.c = self.vm.client()
        self.c.call("query-status")


class Several(TestCase):
    sockets = ("a", "b")

    def test_both_hear_events(self):
        b = self.vm.client("b")
        self.c.call("system_reset")
        for c in (self.c, b):
            e = c.wait_event("RESET")
            self.assertEqual(e["data"], {"guest": False, "reason": "host-qmp-system-reset"})
            self.assertEqual(set(e["timestamp"]), {"seconds", "microseconds"})
            self.assertLess(abs(e["timestamp"]["seconds"] - time.time()), 60)
            self.assertLess(e["timestamp"]["microseconds"], 1000000)

    def test_one_leaves(self):
        b = self.vm.client("b")
        self.c.close()
        b.call("system_reset")
        b.wait_event("RESET")
        self.c = self.vm.client("a")
        self.c.call("query-status")


if __name__ == "__main__":
    main()
