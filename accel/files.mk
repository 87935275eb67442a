emu += accel/accel.c            # the accelerators linked in
emu += accel/cpu.c              # requests to a virtual CPU, its work queue, its sleep
emu += accel/debug.c            # a debugger's breakpoints and watchpoints
emu += accel/eventfd.c          # doorbells, interrupts by eventfd
