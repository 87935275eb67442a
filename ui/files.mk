emu += ui/console.c             # surfaces, who draws them and who shows them
emu += ui/display.c             # the list of front ends
emu += ui/screendump.c          # pictures: PPM, PNG
emu += ui/term.c                # text terminals in a console of their own
emu += ui/cp437.c               # the PC's character set
emu += ui/input.c               # keys and pointer events on their way to devices
emu += ui/keynames.c            # QKeyCode names, HID usages, set 1 codes
