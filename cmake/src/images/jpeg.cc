// libjpeg-turbo. Its errors leave by longjmp, so the functions that it may leave hold nothing that needs destroying.
#include <cstdio>  // jpeglib.h needs it

#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <string>

#include "core/limits.h"
#include "images/decoders.h"
#include "images/orientation.h"

namespace edge_seg {
namespace {

constexpr int kApp1 = JPEG_APP0 + 1;
constexpr unsigned kMostOfSegment = 0xFFFF;

struct Errors {
    jpeg_error_mgr base;  // first: libjpeg knows only this, a pointer to it is one to the whole
    jmp_buf back;
    char words[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr info) {
    auto* errors = reinterpret_cast<Errors*>(info->err);
    info->err->format_message(info, errors->words);
    std::longjmp(errors->back, 1);
}

void be_silent(j_common_ptr) {}

// A progressive image may have scans without end, each of which costs a walk over the whole image.
void count_scans(j_common_ptr info) {
    const auto* decoder = reinterpret_cast<j_decompress_ptr>(info);
    const uint64_t pixels = uint64_t{1} * decoder->image_width * decoder->image_height;
    const auto scans = static_cast<uint64_t>(decoder->input_scan_number);
    if (scans <= kJpegScans && scans * pixels <= std::max(kJpegScanPixels, pixels)) return;
    auto* errors = reinterpret_cast<Errors*>(info->err);
    std::snprintf(errors->words, sizeof errors->words, "more scans than any encoder writes");
    std::longjmp(errors->back, 1);
}

class Decoder {
  public:
    Decoder() {
        info_.err = jpeg_std_error(&errors_.base);
        errors_.base.error_exit = leave;
        errors_.base.output_message = be_silent;
        progress_.progress_monitor = count_scans;
    }
    ~Decoder() { jpeg_destroy_decompress(&info_); }
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;

    bool read_header(const uint8_t* data, size_t size) {
        if (setjmp(errors_.back) != 0) return false;
        jpeg_create_decompress(&info_);
        jpeg_save_markers(&info_, kApp1, kMostOfSegment);
        jpeg_mem_src(&info_, data, size);
        jpeg_read_header(&info_, TRUE);
        info_.out_color_space = has_ink() ? JCS_CMYK : JCS_EXT_BGR;
        return true;
    }

    // Writes all rows, `channels()` bytes a pixel.
    bool read_rows(uint8_t* rows) {
        if (setjmp(errors_.back) != 0) return false;
        info_.progress = &progress_;
        jpeg_start_decompress(&info_);
        while (info_.output_scanline < info_.output_height) {
            JSAMPROW row = rows + size_t{info_.output_scanline} * info_.output_width * channels();
            jpeg_read_scanlines(&info_, &row, 1);
        }
        jpeg_finish_decompress(&info_);
        return true;
    }

    bool has_ink() const { return info_.num_components == 4; }
    int channels() const { return has_ink() ? 4 : 3; }
    int width() const { return static_cast<int>(info_.image_width); }
    int height() const { return static_cast<int>(info_.image_height); }
    const char* words() const { return errors_.words; }

    // OpenCV looks at the first APP1 segment only, and takes it for EXIF whatever its name.
    int orientation() const {
        constexpr unsigned kName = 6;  // "Exif", 0, 0
        for (auto marker = info_.marker_list; marker != nullptr; marker = marker->next) {
            if (marker->marker != kApp1) continue;
            return marker->data_length > kName ? exif_orientation(marker->data + kName, marker->data_length - kName)
                                               : 1;
        }
        return 1;
    }

  private:
    jpeg_decompress_struct info_{};
    jpeg_progress_mgr progress_{};
    Errors errors_{};
};

// Inks as Adobe stores them, inverted: 255 is none.
Image without_ink(const std::vector<uint8_t>& inks, int width, int height) {
    Image image(width, height);
    const uint8_t* in = inks.data();
    for (uint8_t* out = image.bgr.data(); out != image.bgr.data() + image.bgr.size(); out += 3, in += 4) {
        const int black = in[3];
        for (int c = 0; c < 3; ++c) out[c] = static_cast<uint8_t>(black - ((255 - in[2 - c]) * black >> 8));
    }
    return image;
}

#define EDGE_SEG_TEXT(number) #number
#define EDGE_SEG_TEXT_OF(macro) EDGE_SEG_TEXT(macro)

}  // namespace

std::string jpeg_version() {
    return "libjpeg-turbo " EDGE_SEG_TEXT_OF(LIBJPEG_TURBO_VERSION);
}

Decoded decode_jpeg(const std::vector<uint8_t>& content, const std::string& name) {
    Decoder decoder;
    if (!decoder.read_header(content.data(), content.size())) throw DecodeError(decoder.words());
    const int width = decoder.width(), height = decoder.height();
    check_pixels(name, static_cast<uint64_t>(width), static_cast<uint64_t>(height));
    Decoded decoded{Image(), decoder.orientation()};
    if (decoder.has_ink()) {
        std::vector<uint8_t> inks(size_t{4} * width * height);
        if (!decoder.read_rows(inks.data())) throw DecodeError(decoder.words());
        decoded.image = without_ink(inks, width, height);
    } else {
        decoded.image = Image(width, height);
        if (!decoder.read_rows(decoded.image.bgr.data())) throw DecodeError(decoder.words());
    }
    return decoded;
}

}  // namespace edge_seg
