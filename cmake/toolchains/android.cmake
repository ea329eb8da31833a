# What both kinds of Android have in common: the NDK's own toolchain, found through ANDROID_NDK_HOME, and the libraries
# that the NDK lacks, found through EDGE_SEG_ANDROID_PREFIX (cmake/README.md says how they are built).
set(ndk "$ENV{ANDROID_NDK_HOME}")
if(NOT ndk)
    message(FATAL_ERROR "ANDROID_NDK_HOME isn't set. Unpack Android's NDK (r22 or newer) and set it to that folder.")
endif()
if(NOT EXISTS "${ndk}/build/cmake/android.toolchain.cmake")
    message(FATAL_ERROR "ANDROID_NDK_HOME is '${ndk}', which holds no build/cmake/android.toolchain.cmake. "
        "Set it to the folder of an unpacked NDK (r22 or newer).")
endif()
set(prefix "$ENV{EDGE_SEG_ANDROID_PREFIX}/${ANDROID_ABI}")
if(NOT EXISTS "${prefix}/include/jpeglib.h" OR NOT EXISTS "${prefix}/include/png.h")
    message(FATAL_ERROR "EDGE_SEG_ANDROID_PREFIX is '$ENV{EDGE_SEG_ANDROID_PREFIX}', which holds no libjpeg-turbo and "
        "libpng in ${ANDROID_ABI}/. Build them with the same NDK, as cmake/README.md says.")
endif()

set(ANDROID_PLATFORM android-28) # Android 9, the first with posix_spawn
set(ANDROID_STL c++_static)
include("${ndk}/build/cmake/android.toolchain.cmake")
list(APPEND CMAKE_FIND_ROOT_PATH "${prefix}")
set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so) # a phone has no image libraries for programs: ours are inside
