# 32-bit Arm Linux with hardware floating point (armv7 and newer).
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(edge_seg_triple arm-linux-gnueabihf)
set(edge_seg_arch armhf)
# The NEON of every armv7: later ones fuse multiplication and addition, which Cortex-A8 and A9 don't.
# GCC's notes on how it passes some structs since version 7 matter to nobody here.
set(edge_seg_flags "-march=armv7-a+simd -mfpu=neon -Wno-psabi")
include(${CMAKE_CURRENT_LIST_DIR}/debian.cmake)

set(EDGE_SEG_QEMU qemu-arm-static)
