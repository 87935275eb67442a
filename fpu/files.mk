lib += fpu/round.c              # rounding to a format; arithmetic on numbers taken apart
lib += fpu/sse.c                # f32, f64, f16 with the rules of SSE
lib += fpu/x87.c                # 80-bit arithmetic with the rules of the x87
lib += fpu/x87-convert.c        # 80 bits to and from integers, f32, f64, packed BCD; constants
lib += fpu/x87-trans.c          # FSIN, FPATAN, FYL2X and the like: special cases, rounding
lib += fpu/elementary.c         # elementary functions on 128-bit significands
