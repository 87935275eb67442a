emu += audio/audio.c            # voices, the mixer and its clock
emu += audio/convert.c          # formats and rates of samples
emu += audio/audiodev.c         # -audiodev, -audio, info audio
emu += audio/record.c           # what is recorded
emu += audio/tap.c              # listeners to what a back-end plays
emu += audio/none.c             # back-end none
emu += audio/wav.c              # back-end wav: a file
emu += $(if $(filter yes,$(CONFIG_SDL)),audio/sdl.c)    # back-end sdl: the host's loudspeakers
