emu += accel/accel.c            # the accelerators linked in
emu += accel/cpu.c              # requests to a virtual CPU, its work queue, its sleep
