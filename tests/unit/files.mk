unit-tests += tests/unit/test-memory.c     # memory: flattening, accesses, dirty log, threads
