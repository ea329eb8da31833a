// Arm's own cores (implementer 0x41) by the part number in /proc/cpuinfo. CORES in edge_seg/records/machine.py is the
// same list, and a test compares them. Numbers are from each core's Technical Reference Manual (MIDR_EL1).
#pragma once

#include <cstdint>

namespace edge_seg {

struct ArmCore {
    uint16_t part;
    const char* name;
    // The part of a design that Paddle Lite 2.13 knows and that comes closest, for cores with dot products that it
    // doesn't know: 0xd40 is what it takes for a Cortex-A76, 0xd41 for a Cortex-A78, 0xd05 for a Cortex-A55. Measured
    // for 0xd0b alone; 0 leaves the core as it is.
    uint16_t shown = 0;
};

constexpr ArmCore kArmCores[] = {
    {0xc05, "Cortex-A5"},
    {0xc07, "Cortex-A7"},
    {0xc08, "Cortex-A8"},
    {0xc09, "Cortex-A9"},
    {0xc0d, "Cortex-A17"},
    {0xc0e, "Cortex-A17"},
    {0xc0f, "Cortex-A15"},
    {0xd01, "Cortex-A32"},
    {0xd02, "Cortex-A34"},
    {0xd03, "Cortex-A53"},
    {0xd04, "Cortex-A35"},
    {0xd05, "Cortex-A55"},
    {0xd06, "Cortex-A65"},
    {0xd07, "Cortex-A57"},
    {0xd08, "Cortex-A72"},
    {0xd09, "Cortex-A73"},
    {0xd0a, "Cortex-A75"},
    {0xd0b, "Cortex-A76", 0xd40},  // Raspberry Pi 5, big cores of RK3588
    {0xd0c, "Neoverse-N1", 0xd40},
    {0xd0d, "Cortex-A77"},
    {0xd0e, "Cortex-A76AE", 0xd40},
    {0xd40, "Neoverse-V1"},
    {0xd41, "Cortex-A78"},
    {0xd42, "Cortex-A78AE", 0xd41},  // Jetson Orin
    {0xd43, "Cortex-A65AE"},
    {0xd44, "Cortex-X1"},
    {0xd46, "Cortex-A510"},
    {0xd47, "Cortex-A710"},
    {0xd48, "Cortex-X2"},
    {0xd49, "Neoverse-N2", 0xd41},
    {0xd4a, "Neoverse-E1"},
    {0xd4b, "Cortex-A78C", 0xd41},
    {0xd4c, "Cortex-X1C", 0xd41},
    {0xd4d, "Cortex-A715", 0xd41},
    {0xd4e, "Cortex-X3", 0xd41},
    {0xd4f, "Neoverse-V2", 0xd41},
    {0xd80, "Cortex-A520", 0xd05},
    {0xd81, "Cortex-A720", 0xd41},
    {0xd82, "Cortex-X4", 0xd41},
    {0xd83, "Neoverse-V3AE", 0xd41},
    {0xd84, "Neoverse-V3", 0xd41},
    {0xd85, "Cortex-X925", 0xd41},
    {0xd87, "Cortex-A725", 0xd41},
    {0xd88, "Cortex-A520AE", 0xd05},
    {0xd89, "Cortex-A720AE", 0xd41},
    {0xd8a, "C1-Nano", 0xd05},
    {0xd8b, "C1-Pro", 0xd41},
    {0xd8c, "C1-Ultra", 0xd41},
    {0xd8e, "Neoverse-N3", 0xd41},
    {0xd8f, "Cortex-A320", 0xd05},
    {0xd90, "C1-Premium", 0xd41},
};

}  // namespace edge_seg
