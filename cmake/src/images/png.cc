// libpng. Its errors leave by longjmp, so the functions that it may leave hold nothing that needs destroying.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "core/limits.h"
#include "images/decoders.h"
#include "images/orientation.h"

namespace edge_seg {
namespace {

class Decoder {
  public:
    Decoder(const uint8_t* data, size_t size) : next_(data), left_(size) {
        png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, leave, be_silent);
        if (png_ == nullptr) throw std::bad_alloc();
        info_ = png_create_info_struct(png_);
        after_ = png_create_info_struct(png_);
        if (info_ == nullptr || after_ == nullptr) {
            png_destroy_read_struct(&png_, &info_, &after_);
            throw std::bad_alloc();
        }
        png_set_read_fn(png_, this, read);
    }
    ~Decoder() { png_destroy_read_struct(&png_, &info_, &after_); }
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;

    bool read_header() {
        if (setjmp(back_) != 0) return false;
        png_read_info(png_, info_);
        const int color = png_get_color_type(png_, info_);
        png_set_strip_16(png_);
        png_set_strip_alpha(png_);
        if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
        if ((color & PNG_COLOR_MASK_COLOR) != 0) {
            png_set_bgr(png_);
        } else {
            if (png_get_bit_depth(png_, info_) < 8) png_set_expand_gray_1_2_4_to_8(png_);
            png_set_gray_to_rgb(png_);
        }
        passes_ = png_set_interlace_handling(png_);
        png_read_update_info(png_, info_);
        return true;
    }

    // Writes all rows, 3 bytes a pixel.
    bool read_rows(uint8_t* rows) {
        if (setjmp(back_) != 0) return false;
        const size_t stride = size_t{3} * width();
        if (png_get_rowbytes(png_, info_) != stride) png_error(png_, "unexpected kind of pixels");
        for (int pass = 0; pass < passes_; ++pass) {
            for (int y = 0; y < height(); ++y) png_read_row(png_, rows + stride * y, nullptr);
        }
        png_read_end(png_, after_);
        return true;
    }

    int width() const { return static_cast<int>(png_get_image_width(png_, info_)); }
    int height() const { return static_cast<int>(png_get_image_height(png_, info_)); }
    const char* words() const { return words_; }

    // The eXIf chunk may stand before or after the pixels.
    int orientation() const {
        for (png_infop info : {info_, after_}) {
            png_uint_32 size = 0;
            png_bytep exif = nullptr;
            if (png_get_valid(png_, info, PNG_INFO_eXIf) != 0 && png_get_eXIf_1(png_, info, &size, &exif) != 0) {
                return exif_orientation(exif, size);
            }
        }
        return 1;
    }

  private:
    [[noreturn]] static void leave(png_structp png, png_const_charp words) {
        auto* self = static_cast<Decoder*>(png_get_error_ptr(png));
        std::strncpy(self->words_, words, sizeof self->words_ - 1);
        std::longjmp(self->back_, 1);
    }
    static void be_silent(png_structp, png_const_charp) {}
    static void read(png_structp png, png_bytep out, size_t size) {
        auto* self = static_cast<Decoder*>(png_get_io_ptr(png));
        if (size > self->left_) png_error(png, "its end is missing");
        std::memcpy(out, self->next_, size);
        self->next_ += size, self->left_ -= size;
    }

    const uint8_t* next_;
    size_t left_;
    png_structp png_ = nullptr;
    png_infop info_ = nullptr, after_ = nullptr;
    int passes_ = 1;
    jmp_buf back_{};
    char words_[128] = "";
};

}  // namespace

Decoded decode_png(const std::vector<uint8_t>& content, const std::string& name) {
    Decoder decoder(content.data(), content.size());
    if (!decoder.read_header()) throw DecodeError(decoder.words());
    const int width = decoder.width(), height = decoder.height();
    check_pixels(name, static_cast<uint64_t>(width), static_cast<uint64_t>(height));
    Decoded decoded{Image(width, height), 1};
    if (!decoder.read_rows(decoded.image.bgr.data())) throw DecodeError(decoder.words());
    decoded.orientation = decoder.orientation();
    return decoded;
}

std::string png_version() {
    return png_get_libpng_ver(nullptr);
}

}  // namespace edge_seg
