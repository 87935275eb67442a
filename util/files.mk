lib += util/error.c             # errors and the program's own messages
lib += util/log.c               # -d items, the log file
lib += util/bql.c               # the big lock
lib += util/rcu.c               # lock-free readers: epochs and deferred frees
lib += util/timer.c             # clocks and timers
lib += util/mainloop.c          # the event loop
