# Processors of common boards in qemu's user mode. Files under the folder given with -L stand before this machine's, so
# that libraries see the board's /proc/cpuinfo and not this machine's.
#
# Writes BUILD/emulate, which runs a program on one of EDGE_SEG_BOARDS: `emulate cortex-a72 PROGRAM ARGUMENT…`.

set(EDGE_SEG_BOARDS "")

# Four cores of the kind `part` (as the kernel reports it), with `features`, a highest frequency in kHz and caches of
# `l1` and `l2` KiB (libraries cut their work into blocks that fit).
function(edge_seg_add_board name part frequency l1 l2 features)
    set(folder ${CMAKE_BINARY_DIR}/boards/${name})
    file(MAKE_DIRECTORY ${folder})
    file(CREATE_LINK ${EDGE_SEG_QEMU_LIBRARIES} ${folder}/lib SYMBOLIC)
    file(WRITE ${folder}/proc/meminfo "MemTotal:        4000000 kB\nMemFree:         3000000 kB\n")
    foreach(file present possible online)
        file(WRITE ${folder}/sys/devices/system/cpu/${file} "0-3\n")
    endforeach()
    set(cpuinfo "")
    foreach(core RANGE 3)
        string(APPEND cpuinfo
            "processor\t: ${core}\nBogoMIPS\t: 108.00\nFeatures\t: ${features}\nCPU implementer\t: 0x41\n"
            "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: ${part}\nCPU revision\t: 3\n\n")
        set(cpu ${folder}/sys/devices/system/cpu/cpu${core})
        file(WRITE ${cpu}/uevent "OF_NAME=cpu\nMODALIAS=cpu:type:aarch64\n")  # Paddle Lite counts these
        file(WRITE ${cpu}/online "1\n")
        foreach(file cpuinfo_max_freq scaling_max_freq)
            file(WRITE ${cpu}/cpufreq/${file} "${frequency}\n")
        endforeach()
        file(WRITE ${cpu}/cpufreq/cpuinfo_min_freq "600000\n")
        # Data, instructions, both; this machine's own third level would be read if there were no file.
        set(index 0)
        foreach(cache "1;Data;${l1}K" "1;Instruction;${l1}K" "2;Unified;${l2}K" "3;Unified;0K")
            list(GET cache 0 level)
            list(GET cache 1 type)
            list(GET cache 2 size)
            file(WRITE ${cpu}/cache/index${index}/level "${level}\n")
            file(WRITE ${cpu}/cache/index${index}/type "${type}\n")
            file(WRITE ${cpu}/cache/index${index}/size "${size}\n")
            math(EXPR index "${index} + 1")
        endforeach()
    endforeach()
    file(WRITE ${folder}/proc/cpuinfo "${cpuinfo}")
    set(EDGE_SEG_BOARDS ${EDGE_SEG_BOARDS} ${name} PARENT_SCOPE)
endfunction()

set(armv8 "fp asimd evtstrm crc32 cpuid")
set(armv82 "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp")
edge_seg_add_board(cortex-a53 0xd03 1400000 32 512 "${armv8}")   # Raspberry Pi 3
edge_seg_add_board(cortex-a72 0xd08 1800000 32 1024 "${armv8}")  # Raspberry Pi 4
edge_seg_add_board(cortex-a76 0xd0b 2400000 64 512 "${armv82}")  # Raspberry Pi 5, big cores of RK3588

set(cpu "\"$board\"")
if(EDGE_SEG_QEMU_CPU)
    set(cpu ${EDGE_SEG_QEMU_CPU})
endif()
file(WRITE ${CMAKE_BINARY_DIR}/emulate
    "#!/bin/sh\n# Runs a program on an emulated board: emulate cortex-a72 PROGRAM ARGUMENT…\nboard=$1\nshift\n"
    "exec ${EDGE_SEG_QEMU} -cpu ${cpu} -L \"${CMAKE_BINARY_DIR}/boards/$board\" \"$@\"\n")
file(CHMOD ${CMAKE_BINARY_DIR}/emulate
    PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
