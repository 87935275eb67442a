lib += chardev/char.c           # character devices: front ends, back ends, bytes between them
lib += chardev/mux.c            # several front ends on one back-end, Ctrl-a
lib += chardev/fd.c             # stdio, file, pipe, serial line, null
lib += chardev/pty.c            # pseudo terminal
lib += chardev/socket.c         # unix, TCP, telnet
lib += chardev/ringbuf.c        # ring buffer
lib += chardev/spec.c           # shorthands of -serial and friends
