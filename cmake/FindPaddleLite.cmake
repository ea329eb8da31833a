# Paddle Lite's light C++ API, from the folder of an unpacked official archive (cxx/include, cxx/lib).
#
# Looks in PADDLE_LITE_DIR, a CMake or environment variable, and nowhere else. Checks that the library is for the
# processor built for and has the extra kernels, and reads its version, which bundles must match; PADDLE_LITE_VERSION
# names the version of a library that was built from no tagged commit.
#
# Defines the target PaddleLite::PaddleLite and PaddleLite_VERSION, as manifests write it ("2.13rc0").

include(FindPackageHandleStandardArgs)

if(NOT PADDLE_LITE_DIR)
    set(PADDLE_LITE_DIR "$ENV{PADDLE_LITE_DIR}")
endif()
if(NOT PADDLE_LITE_VERSION)
    set(PADDLE_LITE_VERSION "$ENV{PADDLE_LITE_VERSION}")
endif()
# Found anew each time, because another folder may be given.
unset(PaddleLite_INCLUDE_DIR CACHE)
unset(PaddleLite_LIBRARY CACHE)
set(where NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)
find_path(PaddleLite_INCLUDE_DIR paddle_api.h PATHS ${PADDLE_LITE_DIR}/cxx/include ${where})
find_file(PaddleLite_LIBRARY libpaddle_light_api_shared.so PATHS ${PADDLE_LITE_DIR}/cxx/lib ${where})

# The ELF header's word for the processor.
function(edge_seg_check_processor library)
    file(READ ${library} word OFFSET 18 LIMIT 2 HEX)
    set(name_b700 aarch64)
    set(name_2800 arm)
    set(name_3e00 x86_64)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
        set(expected aarch64)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^arm")
        set(expected arm)
    else()
        set(expected x86_64)
    endif()
    file(READ ${library} magic LIMIT 4 HEX)
    if(NOT "${magic}" STREQUAL "7f454c46")
        message(FATAL_ERROR "${library} is not a shared library (no ELF file). Unpack the archive again.")
    endif()
    set(found "${name_${word}}")
    if(found STREQUAL "")
        set(found "another processor (ELF machine ${word})")
    endif()
    if(NOT found STREQUAL expected)
        message(FATAL_ERROR "${library} is for ${found}, but this build is for ${expected}. "
                            "Give PADDLE_LITE_DIR the archive of that processor.")
    endif()
endfunction()

if(PaddleLite_INCLUDE_DIR AND PaddleLite_LIBRARY)
    edge_seg_check_processor(${PaddleLite_LIBRARY})
    file(STRINGS ${PaddleLite_LIBRARY} has_extra REGEX "generate_proposals_v2" LIMIT_COUNT 1)
    if(NOT has_extra)
        message(FATAL_ERROR "${PaddleLite_LIBRARY} has no kernel for generate_proposals_v2, which the models need. "
                            "Take the archive with `with_extra` in its name.")
    endif()
    if(NOT PADDLE_LITE_VERSION)
        set(tag "v[0-9]+\\.[0-9]+(\\.[0-9]+)?(-rc[0-9]*)?")
        file(STRINGS ${PaddleLite_LIBRARY} PADDLE_LITE_VERSION REGEX "^${tag}$" LIMIT_COUNT 1)
    endif()
    # As Python's packages write versions: v2.13-rc is 2.13rc0.
    string(REGEX REPLACE "^v" "" PaddleLite_VERSION "${PADDLE_LITE_VERSION}")
    string(REGEX REPLACE "-rc$" "rc0" PaddleLite_VERSION "${PaddleLite_VERSION}")
    string(REPLACE "-rc" "rc" PaddleLite_VERSION "${PaddleLite_VERSION}")
endif()

find_package_handle_standard_args(PaddleLite
    REQUIRED_VARS PaddleLite_LIBRARY PaddleLite_INCLUDE_DIR PaddleLite_VERSION VERSION_VAR PaddleLite_VERSION
    REASON_FAILURE_MESSAGE
    "PADDLE_LITE_DIR ('${PADDLE_LITE_DIR}') must be the folder of an unpacked Paddle Lite archive, with \
cxx/include/paddle_api.h and cxx/lib/libpaddle_light_api_shared.so in it. If only the version is missing, give it with \
-DPADDLE_LITE_VERSION=v2.13-rc.")

if(PaddleLite_FOUND AND NOT TARGET PaddleLite::PaddleLite)
    add_library(PaddleLite::PaddleLite SHARED IMPORTED)
    set_target_properties(PaddleLite::PaddleLite PROPERTIES
        IMPORTED_LOCATION ${PaddleLite_LIBRARY}
        IMPORTED_NO_SONAME ON
        INTERFACE_INCLUDE_DIRECTORIES ${PaddleLite_INCLUDE_DIR})
endif()
