emu += hw/audio/ac97.c              # AC97: sound of the 82801AA
emu += hw/audio/sb16.c              # Sound Blaster 16
emu += hw/audio/intel-hda.c         # Intel HD Audio controllers, the link
emu += hw/audio/hda-codec.c         # hda-duplex, hda-output, hda-micro
