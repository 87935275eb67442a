emu += hw/timer/i8254.c         # 8254 interval timer
emu += hw/timer/pcspk.c         # port 61h: gate of counter 2, speaker, refresh toggle
emu += hw/timer/mc146818rtc.c   # MC146818 clock and CMOS RAM
emu += hw/timer/hpet.c          # high precision event timer
