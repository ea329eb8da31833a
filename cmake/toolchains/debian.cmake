# What both kinds of Arm Linux have in common: Debian's cross compiler for `edge_seg_triple`, with the C and C++
# libraries of an older Debian, which tools/native_sysroot.sh gathers for `edge_seg_arch`. The compiler would take its
# own, newer ones first, so all folders are named here, in its order.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${edge_seg_triple}-gcc) # for programs in C that use libedge_seg
set(CMAKE_CXX_COMPILER ${edge_seg_triple}-g++)
set(CMAKE_LIBRARY_ARCHITECTURE ${edge_seg_triple})

get_filename_component(CMAKE_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../../build/native/sysroot/${edge_seg_arch} ABSOLUTE)
foreach(mode LIBRARY INCLUDE PACKAGE)
    set(CMAKE_FIND_ROOT_PATH_MODE_${mode} ONLY)
endforeach()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=include
    OUTPUT_VARIABLE own OUTPUT_STRIP_TRAILING_WHITESPACE)
set(usr ${CMAKE_SYSROOT}/usr)
set(gcc ${usr}/lib/gcc/${edge_seg_triple}/10)
set(CMAKE_C_STANDARD_INCLUDE_DIRECTORIES ${own} ${usr}/include/${edge_seg_triple} ${usr}/include)
set(CMAKE_CXX_STANDARD_INCLUDE_DIRECTORIES ${usr}/include/c++/10 ${usr}/include/${edge_seg_triple}/c++/10
    ${usr}/include/c++/10/backward ${CMAKE_C_STANDARD_INCLUDE_DIRECTORIES})
set(CMAKE_C_FLAGS_INIT "-nostdinc ${edge_seg_flags}")
# How libstdc++ 10 moves a std::function looks uninitialized to later compilers.
set(CMAKE_CXX_FLAGS_INIT "-nostdinc -nostdinc++ -Wno-uninitialized -Wno-maybe-uninitialized ${edge_seg_flags}")
# A board need not have the image libraries, nor a C++ library as new as the compiler's.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
foreach(kind EXE SHARED)
    set(CMAKE_${kind}_LINKER_FLAGS_INIT
        "-B${gcc} -B${usr}/lib/${edge_seg_triple} -L${gcc} -static-libstdc++ -static-libgcc")
endforeach()
set(EDGE_SEG_BOARD_LIBRARIES ${usr}/lib/${edge_seg_triple}/libstdc++.so.6 ${usr}/lib/${edge_seg_triple}/libgomp.so.1
    ${CMAKE_SYSROOT}/lib/${edge_seg_triple}/libgcc_s.so.1)
