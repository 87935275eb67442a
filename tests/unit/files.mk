lib-tests  += tests/unit/test-memory.c     # memory: flattening, accesses, dirty log, threads
lib-tests  += tests/unit/test-softfloat.c  # fpu: 80-bit operations against the host's x87
lib-tests  += tests/unit/test-softfloat-sse.c  # fpu: f32, f64, f16 against the host's SSE
lib-tests  += tests/unit/test-timer.c      # util: clocks, timers, event loop, read-copy-update
lib-tests  += tests/unit/test-options.c    # util: values, option strings, properties, log items
lib-tests  += tests/unit/test-json.c       # util: JSON
lib-tests  += tests/unit/test-device.c     # hw/core: types, buses, life, reset, -device
lib-tests  += tests/unit/test-vmstate.c    # migration: state tables, machine state
