#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SASL for VNC: mechanisms over unix sockets, TCP and TLS, the layer that encrypts, who may come in,
hostile clients.  The client's half is Cyrus' library (saslclient.py)."""

import json
import os
import random
import shutil
import socket
import struct
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "qtest"), os.path.join(HERE, "..", "guest")]
import rfb                                                          # noqa: E402
import saslclient                                                   # noqa: E402
from libqtest import EMULATOR, OptionTest                           # noqa: E402
from test_vnc_access import AnonymousTls, X509                      # noqa: E402
from vnccase import VncCase, make_certificates                      # noqa: E402

USERS = {"fred": "secret", "joe": "geheim"}


def start_folder(case, mechanisms):
    """Puts the server's configuration into a folder that its environment names."""
    gone = saslclient.missing()
    if gone:
        case.skipTest("not installed: " + " ".join(gone))
    with open(os.path.join(os.path.dirname(EMULATOR), "config.h")) as f:
        if "CONFIG_SASL" not in f.read():
            case.skipTest("built without SASL")
    folder = tempfile.mkdtemp(prefix="orrery-sasl-")
    case.addCleanup(shutil.rmtree, folder)
    saslclient.configuration(folder, mechanisms, USERS)
    was = os.environ.get("SASL_CONF_PATH")
    case.addCleanup(lambda: os.environ.pop("SASL_CONF_PATH") if was is None
                    else os.environ.update(SASL_CONF_PATH=was))
    os.environ["SASL_CONF_PATH"] = folder


class SaslCase(VncCase):
    options = ",sasl=on"
    mechanisms = "digest-md5 scram-sha-256 plain anonymous"

    def prepare(self):
        start_folder(self, self.mechanisms)

    def enter(self, user="fred", password=None, mechanism=None, **how):
        max_ssf = how.pop("max_ssf", 256)
        c = saslclient.Client(user, password or USERS.get(user, "x"), mechanism, max_ssf=max_ssf)
        return self.connect(sasl=c, **how)

    def shut_out(self, *args, **how):
        with self.assertRaises((rfb.Refused, rfb.Closed, saslclient.Failed)):
            self.enter(*args, **how)


class UnixSocket(SaslCase):
    options = ",sasl=on,share=ignore"       # nonsense may turn out to be a good ClientInit

    def test_mechanisms(self):
        """Any will do: nobody can listen."""
        self.paint()
        for name in "DIGEST-MD5", "SCRAM-SHA-256", "PLAIN":
            with self.subTest(mechanism=name):
                c = self.enter(mechanism=name)
                self.assertEqual((c.security, c.mechanism, c.layer), (rfb.SASL, name, None))
                self.assertEqual(set(c.mechanisms.split(",")),
                                 {"DIGEST-MD5", "SCRAM-SHA-256", "PLAIN", "ANONYMOUS"})
                self.same(c)
                info = self.q.qmp("query-vnc")
                self.assertEqual((info["auth"], info["clients"][0]["sasl_username"].split("@")[0]),
                                 ("sasl", "fred"))
                self.assertEqual(self.q.qmp("query-vnc-servers")[0]["auth"], "sasl")
                self.assertIn("    sasl_username: fred", self.q.hmp("info vnc"))
                c.close()
                self.shut_out("fred", "wrong", mechanism=name)
                self.shut_out("nobody", mechanism=name)

    def test_versions(self):
        self.enter(version=b"RFB 003.007\n", mechanism="PLAIN")
        self.shut_out("fred", "wrong", version=b"RFB 003.007\n", mechanism="PLAIN")
        with self.assertRaisesRegex(rfb.Refused, "SASL"):
            self.enter(version=b"RFB 003.003\n")

    def begin(self):
        """A client that is to say which mechanism it takes."""
        c = self.raw()
        c.read(12)
        c.send(b"RFB 003.008\n")
        self.assertEqual(c.read(2), b"\1\x14")
        c.send(b"\x14")
        c.read(c.u32())
        return c

    def ended(self, c):
        with self.assertRaises(rfb.Closed):
            while True:
                c.read(1)

    def test_wrong_lengths(self):
        plain = struct.pack(">I", 5) + b"PLAIN"
        for data in (struct.pack(">I", 0), struct.pack(">I", 101), b"\xff" * 4, struct.pack(">I", 5) + b"NOSUC" + bytes(4),
                     struct.pack(">I", 3) + b"PLA" + bytes(4), struct.pack(">I", 11) + b"PLAIN,DIGES" + bytes(4),
                     struct.pack(">I", 6) + b"PLAIN\0" + bytes(4), plain + b"\xff" * 4,
                     plain + struct.pack(">I", 65537), plain + struct.pack(">I", 1) + b"\0",
                     plain + struct.pack(">I", 4) + b"abcd", plain + bytes(4) + b"\xff" * 4):
            with self.subTest(data=data):
                c = self.begin()
                c.send(data)
                self.ended(c)
        c = self.begin()                    # the longest that is read to its end
        c.send(plain + struct.pack(">I", 65536) + bytes(65536))
        self.ended(c)
        self.enter()

    def test_endless_dialogue(self):
        c = self.begin()
        c.send(struct.pack(">I", 5) + b"PLAIN" + bytes(4))
        try:
            for _ in range(100):
                c.read(c.u32())
                self.assertEqual(c.u8(), 0)
                c.send(bytes(4))
        except (rfb.Closed, OSError):
            pass
        else:
            self.fail("it goes on for ever")
        self.enter()

    def test_nonsense(self):
        """Random dialogues: the server stays, and lets a friend in."""
        r = random.Random(int(os.environ.get("ORRERY_SEED", "1")))
        names = [b"PLAIN", b"DIGEST-MD5", b"SCRAM-SHA-256", b"ANONYMOUS"]
        before = self.rss()
        for _ in range(int(os.environ.get("ORRERY_SESSIONS", "300"))):
            c = self.begin()
            name = r.choice(names)
            try:
                c.send(struct.pack(">I", len(name)) + name)
                for _ in range(r.randrange(4)):
                    n = r.choice((0, 1, 2, 30, 300, 5000))
                    c.send(struct.pack(">I", n) + r.randbytes(n))
                c.send(r.randbytes(r.choice((0, 3, 50))))
            except OSError:
                pass
            c.close()
        self.assertLess(self.rss() - before, 16 << 20)
        self.enter()

    def rss(self):
        with open("/proc/%d/statm" % self.q.proc.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Tcp(SaslCase):
    """Only what encrypts is good enough; all that follows goes through its layer."""

    def vnc_args(self):
        self.port, self.ws_port = free_port(), free_port()
        self.path = "127.0.0.1", self.port
        return ["-vnc", "127.0.0.1:%d,websocket=%d%s" % (self.port - 5900, self.ws_port, self.options)]

    def test_layer(self):
        self.paint()
        for how in ({}, {"where": ("127.0.0.1", self.ws_port), "websocket": True}):
            with self.subTest(**how):
                c = self.enter(**how)
                self.assertEqual((c.mechanisms, c.mechanism, c.layer is not None), ("DIGEST-MD5", "DIGEST-MD5", True))
                self.assertGreaterEqual(c.layer.layer(), 56)
                for e in rfb.RAW, rfb.TIGHT:
                    c.set_encodings(e)
                    self.same(c)
                self.q.outb(0x64, 0x60)
                self.q.outb(0x60, 0x00)
                for ch in b"abc" * 20:
                    c.type(ch)
                c.close()
        self.shut_out("fred", "wrong")
        self.shut_out(max_ssf=0)            # it would speak plainly

    def test_tampering(self):
        c = self.enter()
        data = bytearray(c.layer.encode(b"\3\0" + bytes(8)))
        data[6] ^= 1
        c.sock.sendall(data)
        with self.assertRaises(rfb.Closed):
            while True:
                c.read(1)
        c = self.enter()
        c.sock.sendall(b"\xff" * 5000)      # the length of a piece, too long by far
        with self.assertRaises((rfb.Closed, saslclient.Failed)):
            while True:
                c.read(1)
        self.enter()


class Certificates(SaslCase):
    more = X509.more
    options = ",tls-creds=t,sasl=on"
    context = X509.context

    def prepare(self):
        super().prepare()
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        make_certificates(self.dir)

    def test_certificates(self):
        """TLS protects: PLAIN is good enough, and nothing is encrypted twice."""
        self.paint()
        for name in "PLAIN", "DIGEST-MD5":
            c = self.enter(mechanism=name, tls=self.context())
            self.assertEqual((c.subauth, c.layer), (263, None))
            self.same(c)
        client = self.q.qmp("query-vnc")["clients"][0]
        self.assertEqual((client["x509_dname"], client["sasl_username"].split("@")[0]), ("CN=somebody", "fred"))
        self.assertEqual(self.q.qmp("query-vnc")["auth"], "vencrypt+x509+sasl")
        self.assertEqual(self.q.qmp("query-vnc-servers")[0]["vencrypt"], "x509-sasl")
        self.shut_out("fred", "wrong", tls=self.context())


class Anonymous(SaslCase):
    more = AnonymousTls.more
    options = ",tls-creds=t,sasl=on"
    context = AnonymousTls.context

    def vnc_args(self):
        self.port = free_port()
        self.path = "127.0.0.1", self.port
        return ["-vnc", "127.0.0.1:%d%s" % (self.port - 5900, self.options)]

    def test_layer(self):
        """Somebody may stand between: what TLS encrypts is encrypted again."""
        self.paint()
        c = self.enter(tls=self.context())
        self.assertEqual((c.subauth, c.mechanisms), (264, "DIGEST-MD5"))
        self.assertIsNotNone(c.layer)
        self.same(c)
        self.assertEqual(self.q.qmp("query-vnc-servers")[0]["vencrypt"], "tls-sasl")


class Lists(SaslCase):
    options = ",sasl=on,sasl-authz=a"
    more = ("-object", "authz-simple,id=a,identity=fred@here")

    def test_who_may(self):
        self.enter("fred", mechanism="PLAIN")
        self.shut_out("joe", mechanism="PLAIN")
        self.assertIn("in use", str(self.q.qmp_raw("object-del", id="a")["error"]))


class Rules(Lists):
    more = ("-object", "authz-list,id=a,policy=deny,rules.0.match=joe*,rules.0.policy=deny,rules.0.format=glob,"
            "rules.1.match=*@here,rules.1.policy=allow,rules.1.format=glob")


class RulesInJson(Lists):
    more = ("-object", json.dumps({"qom-type": "authz-list", "id": "a", "policy": "deny", "rules": [
        {"match": "fred@here", "policy": "allow", "format": "exact"}]}))


class File(SaslCase):
    options = ",sasl=on,sasl-authz=a"
    more = ("-object", "authz-list-file,id=a,filename=DIR/rules")

    def write(self, text):
        with open(self.dir + "/rules", "w") as f:
            f.write(text)

    def prepare(self):
        super().prepare()
        self.write('{"rules": [{"match": "fred@here", "policy": "allow"}], "policy": "deny"}')

    def test_file(self):
        """It is read anew each time; while it can't be, nobody may."""
        self.enter("fred", mechanism="PLAIN")
        self.shut_out("joe", mechanism="PLAIN")
        self.write('{"rules": [{"match": "fred*", "policy": "deny", "format": "glob"}], "policy": "allow"}')
        self.shut_out("fred", mechanism="PLAIN")
        self.enter("joe", mechanism="PLAIN")
        for text in '{"rules": [{"match": "joe@here"}]}', '[]', '{"rules": 3}', '{"policy": "maybe"}', "", '{"rules": [4]}':
            self.write(text)
            self.shut_out("joe", mechanism="PLAIN")
        self.write('{"policy": "allow"}')
        self.enter("joe", mechanism="PLAIN")


class TlsLists(Certificates):
    more = X509.more + ("-object", "authz-simple,id=a,identity=CN=somebody",
                        "-object", "authz-simple,id=b,identity=CN=else")
    test_certificates = None

    def vnc_args(self):
        return ["-vnc", "unix:%s/vnc,tls-creds=t,tls-authz=a" % self.dir,
                "-vnc", "unix:%s/other,tls-creds=t,tls-authz=b" % self.dir]

    def test_who_may(self):
        self.connect(tls=self.context())
        self.refused(tls=self.context(), where=self.dir + "/other")


class CommandLine(OptionTest):
    def test_refusals(self):
        start_folder(self, "plain scram-sha-256")
        self.refused(["mechanism that encrypts", "qemu.conf"], "-vnc", "127.0.0.1:99,sasl=on")
        self.refused(["sasl=on", "password=on"], "-vnc", ":99,sasl=on,password=on")
        self.refused(["sasl-authz=a", "sasl=on is needed"], "-object", "authz-simple,id=a,identity=x", "-vnc",
                     ":99,sasl-authz=a")
        self.refused(["'x'", "authz-simple"], "-vnc", ":99,sasl=on,sasl-authz=x")
        self.refused(["tls-authz=a", "tls-creds"], "-object", "authz-simple,id=a,identity=x", "-vnc",
                     ":99,tls-authz=a")
        self.refused(["tls-authz=a", "certificates"], "-object", "authz-simple,id=a,identity=x", "-object",
                     "tls-creds-anon,id=t,endpoint=server", "-vnc", ":99,tls-creds=t,tls-authz=a")

    def test_objects(self):
        for words, text in ((["identity="], "authz-simple,id=a"), (["filename="], "authz-list-file,id=a"),
                            (["/nosuch"], "authz-list-file,id=a,filename=/nosuch"),
                            (["rules.0.match="], "authz-list,id=a,rules.0.policy=allow"),
                            (["rules.0.match="], "authz-list,id=a,rules.1.match=x"),
                            (["maybe", "allow"], "authz-list,id=a,rules.0.match=x,rules.0.policy=maybe"),
                            (["regex", "glob"], "authz-list,id=a,rules.0.match=x,rules.0.format=regex"),
                            (["rules.9999.match"], "authz-list,id=a,rules.9999.match=x"),
                            (["rules.x.match"], "authz-list,id=a,rules.x.match=x"),
                            (["rules.1"], "authz-list,id=a,rules.1=x"), (["nonsense"], "authz-list,id=a,nonsense=x"),
                            (["policy", "maybe"], "authz-list,id=a,policy=maybe")):
            with self.subTest(object=text):
                self.refused(["-object", *words], "-object", text)


del VncCase, AnonymousTls, X509         # or their tests would run here, too

if __name__ == "__main__":
    unittest.main()
