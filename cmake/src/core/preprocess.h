// Image → network input, by the rule of edge_seg/runtime/preprocess.py, to the last bit.
#pragma once

#include <array>

#include "core/image.h"
#include "core/spec.h"
#include "core/workers.h"

namespace edge_seg {

// How an image lies in the network's input: input = image * scale, from the upper left. Sides in pixels.
struct Geometry {
    int width = 0, height = 0;
    int scaled_width = 0, scaled_height = 0;

    double scale_x() const { return static_cast<double>(scaled_width) / width; }
    double scale_y() const { return static_cast<double>(scaled_height) / height; }
};

// Where a width x height image lies in an input of input_height x input_width.
Geometry letterbox(int width, int height, int input_height, int input_width);

class Preprocessor {
  public:
    explicit Preprocessor(const PreprocessSpec& spec);

    // Fills `blob`, float32[3, spec.height, spec.width], and says how the image lies in it.
    Geometry run(const Image& image, float* blob, Workers& workers) const;

  private:
    void normalize_row(const uint8_t* bgr, int width, float* first_plane) const;

    PreprocessSpec spec_;
    std::array<std::array<float, 256>, 3> table_;  // of each plane: byte → normalised value
};

}  // namespace edge_seg
