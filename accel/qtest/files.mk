emu += accel/qtest/qtest.c      # no CPU, a clock that is moved by hand
