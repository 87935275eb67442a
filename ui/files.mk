emu += ui/console.c             # surfaces, who draws them and who shows them
emu += ui/screendump.c          # pictures: PPM, PNG
emu += ui/input.c               # keys and pointer events on their way to devices
emu += ui/keynames.c            # QKeyCode names, HID usages, set 1 codes
