lib += memory/ram.c             # RAM blocks: host memory, guard bytes, dirty bits
lib += memory/region.c          # the tree of regions
lib += memory/flatview.c        # flattening, commits, listeners, address spaces
lib += memory/access.c          # reads, writes, look-ups; the machine's two spaces
lib += memory/dirty.c           # dirty logging of a region
lib += memory/mtree.c           # info mtree
