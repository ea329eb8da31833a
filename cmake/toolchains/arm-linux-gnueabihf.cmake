# 32-bit Arm Linux with hardware floating point (armv7 and newer), with Debian's cross compiler and the libraries that
# tools/native_sysroot.sh gathers.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(CMAKE_CXX_COMPILER arm-linux-gnueabihf-g++)
set(CMAKE_LIBRARY_ARCHITECTURE arm-linux-gnueabihf)

get_filename_component(sysroot ${CMAKE_CURRENT_LIST_DIR}/../../build/native/sysroot/armhf ABSOLUTE)
set(CMAKE_FIND_ROOT_PATH ${sysroot})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# GCC's notes on how it passes some structs since version 7 matter to nobody here.
set(CMAKE_CXX_FLAGS_INIT "-mfpu=neon-vfpv4 -Wno-psabi")
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static-libstdc++ -static-libgcc")

# This emulator knows no 64-bit processor by name; what the tests see of the board is the same.
set(EDGE_SEG_QEMU qemu-arm-static)
set(EDGE_SEG_QEMU_CPU max)
set(EDGE_SEG_QEMU_LIBRARIES /usr/arm-linux-gnueabihf/lib)
