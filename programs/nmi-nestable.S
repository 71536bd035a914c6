# nmi-nestable: an NMI handler that may be interrupted by NMIs, in surroundings that try everything
.include "nestable-kernel.inc"
