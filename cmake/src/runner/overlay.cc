#include "runner/overlay.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/rle.h"

namespace edge_seg {
namespace {

constexpr double kTint = 0.45;

using Color = std::array<uint8_t, 3>;  // blue, green, red

Color from_hue(double hue) {
    const auto channel = [hue](double shift) {
        const double place = std::fmod(hue * 6 + shift, 6);
        return static_cast<uint8_t>(255 * (1 - 0.85 * std::clamp(std::min(place, 4 - place), 0.0, 1.0)));
    };
    return {channel(1), channel(3), channel(5)};
}

// Classes lie a golden angle apart on the wheel; instances of a class differ a little in hue. As in the Python runner.
Color color_of(const Found& found, size_t index) {
    const double shift = (static_cast<double>(index % 5) - 2) * 0.025;
    return from_hue(std::fmod(found.classes[index] * 0.618034 + 0.58 + shift + 1, 1.0));
}

class Canvas {
  public:
    explicit Canvas(const Image& image) : image_(image) {}

    void dot(int x, int y, const Color& color) {
        if (x < 0 || y < 0 || x >= image_.width || y >= image_.height) return;
        std::copy(color.begin(), color.end(), image_.row(y) + 3 * x);
    }

    void tint(int x, int y, const Color& color) {
        uint8_t* at = image_.row(y) + 3 * x;
        for (int c = 0; c < 3; ++c) at[c] = static_cast<uint8_t>(std::lround(at[c] * (1 - kTint) + color[c] * kTint));
    }

    void rectangle(const Box& box, int thickness, const Color& color) {
        const auto edge = [](float place) { return static_cast<int>(std::lround(place)); };
        const int left = edge(box[0]), top = edge(box[1]);
        const int right = std::max(left, edge(box[2]) - 1), bottom = std::max(top, edge(box[3]) - 1);
        for (int t = 0; t < thickness; ++t) {
            for (int x = left; x <= right; ++x) dot(x, top + t, color), dot(x, bottom - t, color);
            for (int y = top; y <= bottom; ++y) dot(left + t, y, color), dot(right - t, y, color);
        }
    }

    Image take() { return std::move(image_); }

  private:
    Image image_;
};

// The mask's pixels, column by column, and those of them that a run begins or ends with.
void draw_mask(Canvas& canvas, const Found& found, size_t index) {
    const int64_t height = found.height;
    const Color color = color_of(found, index);
    std::vector<int64_t> ends;
    bool inside = false;
    int64_t at = 0;
    for (const int64_t run : decode_runs(found.codes[index], height * found.width)) {
        for (int64_t i = at; inside && i < at + run; ++i) {
            canvas.tint(static_cast<int>(i / height), static_cast<int>(i % height), color);
        }
        if (inside && run > 0) ends.insert(ends.end(), {at, at + run - 1});
        at += run;
        inside = !inside;
    }
    for (const int64_t i : ends) canvas.dot(static_cast<int>(i / height), static_cast<int>(i % height), color);
}

}  // namespace

Image draw(const Image& image, const Found& found) {
    Canvas canvas(image);
    const int thickness = std::max(1, static_cast<int>(std::lround(std::max(image.width, image.height) / 640.0)));
    for (size_t i = found.size(); i-- > 0;) draw_mask(canvas, found, i);
    for (size_t i = found.size(); i-- > 0;) canvas.rectangle(found.boxes[i], thickness, color_of(found, i));
    return canvas.take();
}

}  // namespace edge_seg
