# The x86 CPU
emu += target-i386/table.c        # the instruction table, parsed
emu += target-i386/decode.c       # guest bytes -> Insn
emu += target-i386/block.c        # blocks of decoded instructions
emu += target-i386/tcg-target.c   # what accel/tcg and the helpers ask of x86 and the engine
emu += target-i386/jit.c          # native code for x86-64 hosts: blocks, handlers called from them
emu += target-i386/jit-mem.c      # ... memory accesses, flags
emu += target-i386/jit-alu.c      # ... integer arithmetic
emu += target-i386/jit-mov.c      # ... moves
emu += target-i386/jit-flow.c     # ... stack, branches, links between blocks
emu += target-i386/jit-simd.c     # ... SSE
emu += target-i386/jit-vec.c      # ... AVX, vector registers held
emu += target-i386/jit-x87.c      # ... x87, MMX
emu += target-i386/jit-compact.c  # ... what compact code calls
emu += target-i386/jit-thunk.c    # ... entry, exit, calls of C
emu += target-i386/disas.c        # disassembly for logs and the monitor
emu += target-i386/op-alu.c       # ADD..CMP, TEST, INC, DEC, NEG, NOT, XADD, CMPXCHG
emu += target-i386/op-bit.c       # bit tests and scans, BMI, ADX, CRC32
emu += target-i386/op-flow.c      # branches, calls, ends of blocks
emu += target-i386/op-mov.c       # moves, stack, CMOV, SET, segment registers
emu += target-i386/op-muldiv.c    # multiply, divide, decimal arithmetic
emu += target-i386/op-shift.c     # shifts and rotates
emu += target-i386/op-string.c    # string instructions with repeat
emu += target-i386/op-sys.c       # ports, control registers, tables, hints
emu += target-i386/cpu.c          # reset, INIT, SIPI, lines from devices, saved state
emu += target-i386/irqchip.c      # interrupt controllers that the accelerator has
emu += target-i386/cpuid.c        # CPUID
emu += target-i386/models.c       # -cpu
emu += target-i386/msr.c          # RDMSR, WRMSR
emu += target-i386/dump.c         # info registers
emu += target-i386/mmu.c          # page walks
emu += target-i386/smm.c          # system management mode
emu += target-i386/helper-exc.c   # exceptions, interrupts, debug events
emu += target-i386/helper-far.c   # far transfers, SYSCALL, SYSENTER
emu += target-i386/helper-seg.c   # segment loads, LAR, LSL
emu += target-i386/helper-task.c  # task switches
emu += target-i386/helper-sys.c   # control registers, ports, HLT, MWAIT
emu += target-i386/op-x87-arith.c # x87: arithmetic, comparison
emu += target-i386/op-x87-move.c  # x87: loads, stores, constants
emu += target-i386/op-x87-trans.c # x87: transcendental
emu += target-i386/op-x87-state.c # x87: control, environment images, FXSAVE
emu += target-i386/xsave.c        # XSAVE family, XGETBV
emu += target-i386/vec-crypto.c   # AES, SHA, string compares on 128-bit lanes
emu += target-i386/op-simd-int.c  # integer MMX, SSE, AVX
emu += target-i386/op-simd-move.c # SIMD moves, inserts, extracts
emu += target-i386/op-simd-fp.c   # SSE and AVX arithmetic, compares; MXCSR
emu += target-i386/op-simd-cvt.c  # SSE and AVX conversions
emu += target-i386/op-simd-misc.c # AES, SHA, PCMPxSTRx
emu += target-i386/op-avx.c       # broadcasts, permutes, gathers, FMA

# loops over lanes become host SIMD
CFLAGS_target-i386/op-simd-int.c := -O3

# ... run by the host's kernel
emu += $(if $(KVM_HOST),target-i386/kvm.c)       # interrupts in, exits out
emu += $(if $(KVM_HOST),target-i386/kvm-state.c) # registers to and from the kernel
emu += $(if $(KVM_HOST),target-i386/kvm-irqchip.c) # interrupt controllers and timer in the kernel
emu += $(if $(KVM_HOST),target-i386/kvm-cpuid.c) # what the kernel offers, -cpu host
