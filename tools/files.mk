img += tools/img.c              # orrery-img: commands, opening images, messages
img += tools/img-create.c       # orrery-img create, amend, resize, snapshot, measure
img += tools/img-info.c         # orrery-img info, check, map
img += tools/img-convert.c      # orrery-img convert, dd
img += tools/img-compare.c      # orrery-img compare, commit, rebase, bench
nbd += tools/nbd.c              # orrery-nbd: exports an image to NBD clients
