emu += chardev/char.c           # character devices: front ends, back ends, bytes between them
emu += chardev/mux.c            # several front ends on one back-end, Ctrl-a
emu += chardev/fd.c             # stdio, file, pipe, serial line, null
emu += chardev/pty.c            # pseudo terminal
emu += chardev/socket.c         # unix, TCP, telnet
emu += chardev/address.c        # socket addresses, listening, connecting
emu += chardev/ringbuf.c        # ring buffer
emu += chardev/spec.c           # shorthands of -serial and friends
