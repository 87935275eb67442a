# SPDX-License-Identifier: MIT
"""The client's half of SASL by Cyrus' library (Debian: libsasl2-2, libsasl2-modules), and a folder
with a server's configuration and users (sasl2-bin)."""

import ctypes
import os
import shutil
import subprocess
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_ulong, c_void_p

OK, CONTINUE, INTERACT = 0, 1, 2
CB_USER, CB_AUTHNAME, CB_PASS, CB_LIST_END = 0x4001, 0x4002, 0x4004, 0
PROP_SSF, PROP_SEC_PROPS = 1, 101


class Failed(Exception):
    pass


class Callback(ctypes.Structure):
    _fields_ = [("id", c_ulong), ("proc", c_void_p), ("context", c_void_p)]


class Interact(ctypes.Structure):
    _fields_ = [("id", c_ulong), ("challenge", c_char_p), ("prompt", c_char_p), ("defresult", c_char_p),
                ("result", c_char_p), ("len", c_uint)]


class Security(ctypes.Structure):
    _fields_ = [("min_ssf", c_uint), ("max_ssf", c_uint), ("maxbufsize", c_uint), ("flags", c_uint),
                ("names", c_void_p), ("values", c_void_p)]


lib = None


def library():
    global lib
    if not lib:
        lib = ctypes.CDLL("libsasl2.so.2")
        if lib.sasl_client_init(None) != OK:
            raise Failed("sasl_client_init")
    return lib


def missing():
    """What the tests need and this host has not."""
    gone = [p for p in ("saslpasswd2",) if not shutil.which(p)]
    try:
        library()
    except OSError:
        gone.append("libsasl2-2")
    return gone


def configuration(folder, mechanisms, users, realm="here"):
    """Environment of a server that knows users {name: password}."""
    with open(folder + "/qemu.conf", "w") as f:
        f.write("mech_list: %s\nsasldb_path: %s/db\npwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                % (mechanisms, folder))
    for name, password in users.items():
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", folder + "/db", "-a", "qemu", "-u", realm, name],
                       input=password.encode(), check=True)
    return dict(os.environ, SASL_CONF_PATH=folder)


class Client:
    def __init__(self, user, password, mechanism=None, realm="here", max_ssf=256):
        self.user, self.password, self.realm, self.wanted = user, password, realm, mechanism
        self.callbacks = (Callback * 4)(*(Callback(i, None, None) for i in (CB_USER, CB_AUTHNAME, CB_PASS, CB_LIST_END)))
        self.conn = c_void_p()
        self.check(library().sasl_client_new(b"vnc", b"localhost", None, None, self.callbacks, 1,
                                             byref(self.conn)))
        props = Security(0, max_ssf, 65536, 0, None, None)
        self.check(lib.sasl_setprop(self.conn, PROP_SEC_PROPS, byref(props)))

    def check(self, ret):
        if ret not in (OK, CONTINUE):
            lib.sasl_errdetail.restype = c_char_p
            raise Failed(lib.sasl_errdetail(self.conn).decode() if self.conn else "error %d" % ret)
        return ret

    def answer(self, prompts):
        answers = {CB_USER: b"", CB_AUTHNAME: ("%s@%s" % (self.user, self.realm)).encode(),
                   CB_PASS: self.password.encode()}
        n = 0
        while prompts[n].id != CB_LIST_END:
            text = answers[prompts[n].id]
            prompts[n].result, prompts[n].len = text, len(text)
            n += 1

    def call(self, fn, *args):
        """fn(conn, args..., prompts, out, len) until it asks no more; (done, data or None)."""
        prompts, out, n = POINTER(Interact)(), c_void_p(), c_uint()
        while True:
            extra = [byref(self.chosen)] if fn is lib.sasl_client_start else []
            ret = fn(self.conn, *args, byref(prompts), byref(out), byref(n), *extra)
            if ret != INTERACT:
                break
            self.answer(prompts)
        self.check(ret)
        return ret == OK, ctypes.string_at(out, n.value) if out.value is not None else None

    def start(self, mechanisms):
        self.chosen = c_char_p()
        done, data = self.call(lib.sasl_client_start, (self.wanted or mechanisms.replace(",", " ")).encode())
        return self.chosen.value.decode(), data

    def step(self, data):
        return self.call(lib.sasl_client_step, data, c_uint(len(data) if data else 0))[1]

    def layer(self):
        """Bits of it, 0: none."""
        val = POINTER(c_uint)()
        self.check(lib.sasl_getprop(self.conn, c_int(PROP_SSF), byref(val)))
        return val.contents.value

    def through(self, fn, data):
        out, n = c_void_p(), c_uint()
        self.check(fn(self.conn, data, c_uint(len(data)), byref(out), byref(n)))
        return ctypes.string_at(out, n.value) if n.value else b""

    def encode(self, data):
        return b"".join(self.through(lib.sasl_encode, data[k:k + 4096]) for k in range(0, len(data), 4096))

    def decode(self, data):
        return self.through(lib.sasl_decode, data)
