# libedge_seg, edge-seg-run's code for programs of others: the library and its CMake package. Its interface is
# include/edge_seg.h.
add_library(edge_seg SHARED src/library/edge_seg.cc)
set(exports ${CMAKE_CURRENT_SOURCE_DIR}/src/library/exports.map)
target_compile_definitions(edge_seg PRIVATE EDGE_SEG_VERSION="${PROJECT_VERSION}")
target_include_directories(edge_seg PUBLIC
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_link_libraries(edge_seg PRIVATE edge_seg_runner)
target_link_options(edge_seg PRIVATE -Wl,--version-script=${exports})
set_target_properties(edge_seg PROPERTIES
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${exports})

include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/edge_seg)
install(TARGETS edge_seg EXPORT edge_seg-targets)
install(FILES include/edge_seg.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT edge_seg-targets NAMESPACE edge_seg:: DESTINATION ${package})
configure_package_config_file(edge_seg-config.cmake.in ${CMAKE_BINARY_DIR}/edge_seg-config.cmake
    INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/edge_seg-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/edge_seg-config.cmake ${CMAKE_BINARY_DIR}/edge_seg-config-version.cmake
    DESTINATION ${package})

# Java's way to it (android/README.md): on Android, and on this machine where a JDK is, so that the tests can call it.
if(NOT CMAKE_CROSSCOMPILING)
    find_program(EDGE_SEG_JAVAC javac HINTS $ENV{JAVA_HOME}/bin)
    get_filename_component(javac "${EDGE_SEG_JAVAC}" REALPATH)
    get_filename_component(java_bin "${javac}" DIRECTORY)
    find_path(EDGE_SEG_JNI_INCLUDE_DIR jni.h PATHS ${java_bin}/../include NO_DEFAULT_PATH)
endif()
if(ANDROID OR EDGE_SEG_JNI_INCLUDE_DIR)
    add_library(edge_seg_jni SHARED src/library/jni.cc)
    set_target_properties(edge_seg_jni PROPERTIES CXX_VISIBILITY_PRESET hidden)
    target_link_libraries(edge_seg_jni PRIVATE edge_seg)
endif()
if(ANDROID)
    # Gradle takes them from here, and Paddle Lite's library with them.
    set(jni_libraries ${CMAKE_CURRENT_SOURCE_DIR}/../build/native/jniLibs/${ANDROID_ABI})
    set_target_properties(edge_seg edge_seg_jni PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${jni_libraries})
    if(PaddleLite_FOUND)
        configure_file(${PaddleLite_LIBRARY} ${jni_libraries}/libpaddle_light_api_shared.so COPYONLY)
    endif()
elseif(EDGE_SEG_JNI_INCLUDE_DIR)
    target_include_directories(edge_seg_jni SYSTEM PRIVATE
        ${EDGE_SEG_JNI_INCLUDE_DIR} ${EDGE_SEG_JNI_INCLUDE_DIR}/linux)
endif()
