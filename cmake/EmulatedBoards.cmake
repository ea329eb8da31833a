# Processors of common boards in qemu's user mode. Files under the folder given with -L stand before this machine's, so
# that libraries see the board's /proc/cpuinfo and not this machine's. A board has a C library and no other, as the
# smallest systems do.
#
# Writes BUILD/emulate, which runs a program on one of EDGE_SEG_BOARDS: `emulate cortex-a72 PROGRAM ARGUMENT…`.

set(EDGE_SEG_BOARDS "")

# Four cores of the kind `part` (as the kernel reports it) of the architecture `version`, with `features`, a highest
# frequency in kHz and caches of `l1` and `l2` KiB (libraries cut their work into blocks that fit).
function(edge_seg_add_board name version part frequency l1 l2 features)
    set(folder ${CMAKE_BINARY_DIR}/boards/${name})
    file(MAKE_DIRECTORY ${folder})
    file(CREATE_LINK ${CMAKE_SYSROOT}/board/lib ${folder}/lib SYMBOLIC)
    file(WRITE ${folder}/proc/meminfo "MemTotal:        4000000 kB\nMemFree:         3000000 kB\n")
    foreach(file present possible online)
        file(WRITE ${folder}/sys/devices/system/cpu/${file} "0-3\n")
    endforeach()
    set(cpuinfo "")
    foreach(core RANGE 3)
        string(APPEND cpuinfo
            "processor\t: ${core}\nBogoMIPS\t: 108.00\nFeatures\t: ${features}\nCPU implementer\t: 0x41\n"
            "CPU architecture: ${version}\nCPU variant\t: 0x0\nCPU part\t: ${part}\nCPU revision\t: 3\n\n")
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
set(armv7 "half thumb fastmult vfp edsp neon vfpv3 tls")
if(CMAKE_SYSTEM_PROCESSOR STREQUAL armv7l)
    edge_seg_add_board(cortex-a9 7 0xc09 667000 32 512 "${armv7} vfpd32")                          # Zynq 7000
    edge_seg_add_board(cortex-a7 7 0xc07 900000 32 512 "${armv7} vfpv4 idiva idivt vfpd32 lpae")   # Raspberry Pi 2
    edge_seg_add_board(cortex-a15 7 0xc0f 1500000 32 2048 "${armv7} vfpv4 idiva idivt vfpd32 lpae")  # AM57x
    set(armv8 "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32")
    set(armv82 "${armv8} aes pmull sha1 sha2")
endif()
edge_seg_add_board(cortex-a53 8 0xd03 1400000 32 512 "${armv8}")   # Raspberry Pi 3
edge_seg_add_board(cortex-a72 8 0xd08 1800000 32 1024 "${armv8}")  # Raspberry Pi 4
edge_seg_add_board(cortex-a76 8 0xd0b 2400000 64 512 "${armv82}")  # Raspberry Pi 5, big cores of RK3588

# The 32-bit emulator knows no 64-bit processor by name: the files are the board's, the processor is qemu's `max`.
set(cpu "cpu=$board\n")
if(CMAKE_SYSTEM_PROCESSOR STREQUAL armv7l)
    set(cpu "case $board in cortex-a5?|cortex-a7?) cpu=max ;; *) cpu=$board ;; esac\n")
endif()
file(WRITE ${CMAKE_BINARY_DIR}/emulate
    "#!/bin/sh\n# Runs a program on an emulated board: emulate cortex-a72 PROGRAM ARGUMENT…\nboard=$1\nshift\n${cpu}"
    "exec ${EDGE_SEG_QEMU} -cpu $cpu -L \"${CMAKE_BINARY_DIR}/boards/$board\" \"$@\"\n")
file(CHMOD ${CMAKE_BINARY_DIR}/emulate
    PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
