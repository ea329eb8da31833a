// The C interface: exceptions end here, and become -1 or NULL and the calling thread's error.
#include "edge_seg.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/rle.h"
#include "core/signature.h"
#include "engines/engine.h"
#include "images/from_pixels.h"
#include "images/read_image.h"
#include "runner/run.h"
#include "runner/segmenter.h"
#include "runner/self_test.h"

using edge_seg::Bundle;
using edge_seg::Error;
using edge_seg::Found;
using edge_seg::Image;

struct edge_seg_model {
    Bundle bundle;
    std::unique_ptr<edge_seg::Engine> engine;
    std::unique_ptr<edge_seg::Segmenter> segmenter;
    Found found;
    bool has_image = false;
};

namespace {

thread_local std::string g_error, g_code;

void note(const Error& error) {
    g_code = error.code;
    g_error = error.what();
    if (!error.remedy.empty()) g_error += ": " + error.remedy;
}

Error wrong_call(const std::string& what) {
    return Error("usage", what, "see edge_seg.h", 2);
}

// What `work` returns, or `failed` when it throws.
template <typename Work, typename Value>
Value guarded(Value failed, const Work& work) {
    try {
        g_error.clear();
        g_code.clear();
        return work();
    } catch (...) {
        try {
            note(edge_seg::current_error());
        } catch (...) {
            g_code = "memory";  // short enough to need none
        }
        return failed;
    }
}

std::string text_or(const char* text, const char* otherwise) {
    return text == nullptr ? otherwise : text;
}

int take(edge_seg_model& model, const Image& image) {
    model.has_image = false;
    edge_seg::StageTimes times;
    model.found = model.segmenter->run(image, times);
    model.has_image = true;
    return static_cast<int>(model.found.size());
}

void require(const void* pointer, const char* name) {
    if (pointer == nullptr) throw wrong_call(std::string(name) + " is NULL");
}

size_t checked(const edge_seg_model* model, int index) {
    require(model, "model");
    if (index < 0 || static_cast<size_t>(index) >= model->found.size() || !model->has_image) {
        throw wrong_call("there is no instance " + std::to_string(index));
    }
    return static_cast<size_t>(index);
}

}  // namespace

const char* edge_seg_version(void) {
    return EDGE_SEG_VERSION;
}

void edge_seg_default_options(edge_seg_options* options) {
    if (options != nullptr) *options = {nullptr, 0, nullptr, -1, 0, -1, nullptr};
}

edge_seg_model* edge_seg_open(const char* bundle, const edge_seg_options* options) {
    return guarded(static_cast<edge_seg_model*>(nullptr), [&] {
        require(bundle, "bundle");
        edge_seg_options chosen;
        edge_seg_default_options(&chosen);
        if (options != nullptr) chosen = *options;
        if (chosen.threads < 0) throw wrong_call("threads: " + std::to_string(chosen.threads) + " is less than 0");
        const std::string mode = text_or(chosen.power_mode, "no-bind");
        bool known = false;
        for (const char* name : edge_seg::kPowerModes) known = known || mode == name;
        if (!known) throw wrong_call("power_mode: '" + mode + "' is unknown");
        auto model = std::make_unique<edge_seg_model>();
        const std::string key = text_or(chosen.public_key, "");
        model->bundle =
            edge_seg::open_bundle(bundle, key.empty() ? edge_seg::trusted_keys() : std::vector<std::string>{key});
        model->engine = edge_seg::open_engine(model->bundle, {text_or(chosen.engine, ""), chosen.threads, mode, false});
        edge_seg::SegmenterOptions wanted;
        if (chosen.score >= 0) wanted.score = chosen.score;
        if (chosen.top_k != 0) wanted.top_k = chosen.top_k;
        if (chosen.instances >= 0) wanted.instances = chosen.instances;
        wanted.threads = std::max(1, chosen.threads);
        model->segmenter = std::make_unique<edge_seg::Segmenter>(*model->engine, model->bundle.manifest, wanted);
        return model.release();
    });
}

void edge_seg_close(edge_seg_model* model) {
    delete model;
}

int edge_seg_class_count(const edge_seg_model* model) {
    return model == nullptr ? 0 : static_cast<int>(model->bundle.manifest.classes.size());
}

const char* edge_seg_class_name(const edge_seg_model* model, int class_index) {
    if (class_index < 0 || class_index >= edge_seg_class_count(model)) return nullptr;
    return model->bundle.manifest.classes[static_cast<size_t>(class_index)].c_str();
}

int edge_seg_segment(edge_seg_model* model, const uint8_t* pixels, int width, int height, size_t stride, int order) {
    return guarded(-1, [&] {
        require(model, "model");
        require(pixels, "pixels");
        if (order != EDGE_SEG_BGR && order != EDGE_SEG_RGB) throw wrong_call("order is neither BGR nor RGB");
        return take(*model, edge_seg::image_from(pixels, width, height, stride, order == EDGE_SEG_RGB));
    });
}

int edge_seg_segment_encoded(edge_seg_model* model, const void* data, size_t size) {
    return guarded(-1, [&] {
        require(model, "model");
        require(data, "data");
        const auto* bytes = static_cast<const uint8_t*>(data);
        return take(*model, edge_seg::decode_image({bytes, bytes + size}, "the image"));
    });
}

int edge_seg_segment_file(edge_seg_model* model, const char* path) {
    return guarded(-1, [&] {
        require(model, "model");
        require(path, "path");
        return take(*model, edge_seg::read_image(path));
    });
}

int edge_seg_size(const edge_seg_model* model, int* width, int* height) {
    return guarded(-1, [&] {
        require(model, "model");
        if (!model->has_image) throw wrong_call("no image was segmented yet");
        if (width != nullptr) *width = model->found.width;
        if (height != nullptr) *height = model->found.height;
        return 0;
    });
}

int edge_seg_get(const edge_seg_model* model, int index, edge_seg_instance* instance) {
    return guarded(-1, [&] {
        const size_t i = checked(model, index);
        require(instance, "instance");
        std::copy(model->found.boxes[i].begin(), model->found.boxes[i].end(), instance->box);
        instance->score = model->found.scores[i];
        instance->class_index = model->found.classes[i];
        return 0;
    });
}

int edge_seg_mask(const edge_seg_model* model, int index, uint8_t* mask, size_t stride) {
    return guarded(-1, [&] {
        const size_t i = checked(model, index);
        require(mask, "mask");
        const int width = model->found.width, height = model->found.height;
        if (stride < static_cast<size_t>(width)) throw wrong_call("stride is less than the image's width");
        // Run lengths go down the columns, zeros first.
        int64_t at = 0;
        uint8_t value = 0;
        for (const int64_t run : edge_seg::decode_runs(model->found.codes[i], int64_t{1} * width * height)) {
            for (const int64_t end = at + run; at < end; ++at) mask[stride * (at % height) + at / height] = value;
            value ^= 1;
        }
        return 0;
    });
}

const char* edge_seg_rle(const edge_seg_model* model, int index) {
    return guarded(static_cast<const char*>(nullptr),
                   [&] { return model->found.codes[checked(model, index)].c_str(); });
}

int edge_seg_self_test(edge_seg_model* model) {
    return guarded(-1, [&] {
        require(model, "model");
        const edge_seg::SelfTest test = edge_seg::self_test(*model->engine, model->bundle);
        if (test.faults.empty()) return 0;
        throw Error("self-test-failed", "the self-test failed: " + test.faults[0],
                    "copy the bundle again; if it fails again, this machine or its library doesn't compute it right");
    });
}

const char* edge_seg_error(void) {
    return g_error.c_str();
}

const char* edge_seg_error_code(void) {
    return g_code.c_str();
}
