lib += migration/vmstate.c      # state tables: save, load, dump
lib += migration/machine.c      # sections of the whole machine, the stream
