emu += hw/audio/ac97.c              # AC97: sound of the 82801AA
