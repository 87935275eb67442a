# The portable engine: runs guest code without help from the host's CPU
emu += accel/tcg/accel.c       # -accel tcg and its options
emu += accel/tcg/exec.c        # the loop of a vCPU
emu += accel/tcg/cache.c       # translated blocks: storage, look-up, chaining
emu += accel/tcg/pages.c       # pages with code, and stores to them
emu += accel/tcg/tlb.c         # software TLB: fill, flush, changes of the memory map
emu += accel/tcg/memory.c      # slow paths of guest memory accesses
emu += accel/tcg/exclusive.c   # running alone among vCPUs
emu += accel/tcg/torture.c     # -accel tcg,kick=random
emu += accel/tcg/perf.c        # -perfmap, -jitdump
emu += accel/tcg/code.c        # memory for host code, mapped writable and executable apart
