# 64-bit x86 Linux with an older C library than this machine's: for wheels and servers. The tests run here.
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(edge_seg_triple x86_64-linux-gnu)
set(edge_seg_arch amd64)
include(${CMAKE_CURRENT_LIST_DIR}/debian.cmake)
# Debian's libpng.a for x86-64, unlike those for Arm, is not position independent: no shared library can hold it.
set(EDGE_SEG_LIBRARY OFF CACHE BOOL "")
