unit-tests += tests/unit/test-memory.c     # memory: flattening, accesses, dirty log, threads
unit-tests += tests/unit/test-softfloat.c  # fpu: 80-bit operations against the host's x87
unit-tests += tests/unit/test-softfloat-sse.c  # fpu: f32, f64, f16 against the host's SSE
