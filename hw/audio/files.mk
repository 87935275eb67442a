emu += hw/audio/ac97.c              # AC97: sound of the 82801AA
emu += hw/audio/sb16.c              # Sound Blaster 16
