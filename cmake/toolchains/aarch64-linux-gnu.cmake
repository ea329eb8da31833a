# 64-bit Arm Linux (armv8 and newer).
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(edge_seg_triple aarch64-linux-gnu)
set(edge_seg_arch arm64)
include(${CMAKE_CURRENT_LIST_DIR}/debian.cmake)

# Tests run on processors that boards have (EmulatedBoards.cmake).
set(EDGE_SEG_QEMU qemu-aarch64-static)
