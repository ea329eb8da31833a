// A bundle's golden image against the result that was expected when it was converted.
#pragma once

#include <nlohmann/json.hpp>

#include <vector>

#include "runner/lines.h"
#include "runner/segmenter.h"

namespace edge_seg {

struct SelfTest {
    Values values;                    // what the `self_test` line says
    std::vector<std::string> faults;  // none: passed
};

// Throws Error when the golden files can't be read.
SelfTest self_test(Engine& engine, const Bundle& bundle);

}  // namespace edge_seg
