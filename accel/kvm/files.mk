# The CPU run by the host's kernel: x86 hosts with Linux
KVM_HOST := $(if $(filter x86_64,$(HOST_ARCH)),yes)
emu += $(if $(KVM_HOST),accel/kvm/accel.c)      # -accel kvm: /dev/kvm, what kind it is, info kvm
emu += $(if $(KVM_HOST),accel/kvm/run.c)        # a vCPU: KVM_RUN, exits, kicks, the interpreter's turns
emu += $(if $(KVM_HOST),accel/kvm/slots.c)      # memory slots, the dirty log
emu += $(if $(KVM_HOST),accel/kvm/coalesced.c)  # stores that the kernel keeps for a while
emu += $(if $(KVM_HOST),accel/kvm/eventfd.c)    # doorbells, interrupts by eventfd, the table of interrupts
