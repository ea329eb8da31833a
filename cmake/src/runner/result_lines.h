// How times and instances stand in lines.
#pragma once

#include "runner/lines.h"
#include "runner/segmenter.h"

namespace edge_seg {

Values as_json(const StageTimes& times);
Values as_json(const Found& found);

}  // namespace edge_seg
