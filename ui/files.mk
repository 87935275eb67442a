emu += ui/console.c             # surfaces, who draws them and who shows them
emu += ui/display.c             # the list of front ends
emu += ui/screendump.c          # pictures: PPM, PNG
emu += ui/term.c                # text terminals in a console of their own
emu += ui/cp437.c               # the PC's character set
emu += ui/input.c               # keys and pointer events on their way to devices
emu += ui/clipboard.c           # texts between front ends and an agent in the guest
emu += ui/keynames.c            # QKeyCode names, HID usages, set 1 codes
emu += ui/keystate.c            # keys a front end holds down
emu += ui/keysym.c              # X keysyms to keys, layouts (-k)
emu += ui/vnc.c                 # VNC: servers, options, monitor
emu += ui/vnc-client.c          # ... connections, buffers
emu += ui/vnc-auth.c            # ... versions, passwords, TLS
emu += ui/vnc-ws.c              # ... WebSocket
emu += ui/vnc-msg.c             # ... messages, keys, pointer
emu += ui/vnc-audio.c           # ... the guest's sound
emu += ui/vnc-clipboard.c       # ... texts of the clipboard
emu += ui/vnc-update.c          # ... what changed, scrolling, pseudo encodings
emu += ui/vnc-pixel.c           # ... pixel formats
emu += ui/vnc-enc-basic.c       # ... Raw, RRE, Hextile
emu += ui/vnc-enc-zlib.c        # ... Zlib, ZRLE
emu += ui/vnc-enc-tight.c       # ... Tight, JPEG
ifeq ($(CONFIG_SDL),yes)
emu += ui/sdl.c                 # the window
emu += ui/sdl-lib.c             # ... the library, loaded when it is needed
emu += ui/sdl-icon.c            # ... its icon
endif
emu += $(if $(filter yes,$(CONFIG_CURSES)),ui/curses.c)    # text modes on a terminal
