lib += block/node.c             # the graph of nodes, opening, checks of requests
lib += block/io.c               # requests to nodes
lib += block/paths.c            # other files that an image names; which it may name
lib += block/file.c             # images in files and on block devices of the host
lib += block/lock.c             # locks on images, compatible with qemu-img's
lib += block/raw.c              # format raw
lib += block/null.c             # a disk that forgets
lib += block/blkdebug.c         # error injection
lib += block/overlay.c          # snapshot=on
lib += block/backend.c          # slots with media; asynchronous requests
lib += block/drive.c            # -drive, -blockdev
lib += block/info.c             # info block, info blockstats
