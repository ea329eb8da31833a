// Java's way to libedge_seg: the native methods of android/edge_seg/src/main/java/edgeseg/Segmenter.java, about one
// call of edge_seg.h each. Texts pass as bytes of UTF-8, because JNI's own strings have another encoding.
#include <jni.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "edge_seg.h"

namespace {

constexpr jint kNoMemory = -2;
constexpr jsize kNumbers = 6;  // of an instance: its box, score and class

edge_seg_model* model_of(jlong handle) {
    return reinterpret_cast<edge_seg_model*>(static_cast<intptr_t>(handle));
}

jbyteArray bytes_of(JNIEnv* env, const char* text) {
    const auto size = static_cast<jsize>(std::strlen(text));
    jbyteArray bytes = env->NewByteArray(size);
    if (bytes != nullptr) env->SetByteArrayRegion(bytes, 0, size, reinterpret_cast<const jbyte*>(text));
    return bytes;
}

std::string text_of(JNIEnv* env, jbyteArray bytes) {
    std::string text(static_cast<size_t>(env->GetArrayLength(bytes)), '\0');
    env->GetByteArrayRegion(bytes, 0, static_cast<jsize>(text.size()), reinterpret_cast<jbyte*>(text.data()));
    return text;
}

}  // namespace

extern "C" {

JNIEXPORT jlong JNICALL Java_edgeseg_Segmenter_open(JNIEnv* env, jclass, jbyteArray bundle, jbyteArray engine,
                                                    jint threads, jbyteArray power_mode, jdouble score, jint top_k,
                                                    jint instances, jbyteArray public_key) {
    edge_seg_options options;
    edge_seg_default_options(&options);
    const std::string named = text_of(env, engine), mode = text_of(env, power_mode), key = text_of(env, public_key);
    if (!named.empty()) options.engine = named.c_str();
    if (!mode.empty()) options.power_mode = mode.c_str();
    if (!key.empty()) options.public_key = key.c_str();
    options.threads = threads;
    options.score = score;
    options.top_k = top_k;
    options.instances = instances;
    return static_cast<jlong>(reinterpret_cast<intptr_t>(edge_seg_open(text_of(env, bundle).c_str(), &options)));
}

JNIEXPORT void JNICALL Java_edgeseg_Segmenter_close(JNIEnv*, jclass, jlong model) {
    edge_seg_close(model_of(model));
}

JNIEXPORT jint JNICALL Java_edgeseg_Segmenter_classCount(JNIEnv*, jclass, jlong model) {
    return edge_seg_class_count(model_of(model));
}

JNIEXPORT jbyteArray JNICALL Java_edgeseg_Segmenter_className(JNIEnv* env, jclass, jlong model, jint index) {
    return bytes_of(env, edge_seg_class_name(model_of(model), index));
}

// `colours` are 0xAARRGGBB, as Android's Bitmap and Java's BufferedImage give them; alpha is dropped.
JNIEXPORT jint JNICALL Java_edgeseg_Segmenter_segmentColours(JNIEnv* env, jclass, jlong model, jintArray colours,
                                                             jint width, jint height) {
    const size_t stride = static_cast<size_t>(width) * 3;
    const std::unique_ptr<uint8_t[]> pixels(new (std::nothrow) uint8_t[stride * static_cast<size_t>(height)]);
    const std::unique_ptr<jint[]> row(new (std::nothrow) jint[static_cast<size_t>(width)]);
    if (!pixels || !row) return kNoMemory;
    uint8_t* pixel = pixels.get();
    for (jint y = 0; y < height; ++y) {
        env->GetIntArrayRegion(colours, y * width, width, row.get());
        for (jint x = 0; x < width; ++x, pixel += 3) {
            const auto colour = static_cast<uint32_t>(row[static_cast<size_t>(x)]);
            pixel[0] = static_cast<uint8_t>(colour);
            pixel[1] = static_cast<uint8_t>(colour >> 8);
            pixel[2] = static_cast<uint8_t>(colour >> 16);
        }
    }
    return edge_seg_segment(model_of(model), pixels.get(), width, height, stride, EDGE_SEG_BGR);
}

JNIEXPORT jint JNICALL Java_edgeseg_Segmenter_segmentEncoded(JNIEnv* env, jclass, jlong model, jbyteArray encoded) {
    jbyte* const bytes = env->GetByteArrayElements(encoded, nullptr);
    if (bytes == nullptr) return kNoMemory;
    const jint count =
        edge_seg_segment_encoded(model_of(model), bytes, static_cast<size_t>(env->GetArrayLength(encoded)));
    env->ReleaseByteArrayElements(encoded, bytes, JNI_ABORT);
    return count;
}

JNIEXPORT jint JNICALL Java_edgeseg_Segmenter_segmentFile(JNIEnv* env, jclass, jlong model, jbyteArray path) {
    return edge_seg_segment_file(model_of(model), text_of(env, path).c_str());
}

JNIEXPORT jintArray JNICALL Java_edgeseg_Segmenter_size(JNIEnv* env, jclass, jlong model) {
    int width = 0, height = 0;
    edge_seg_size(model_of(model), &width, &height);
    const jint sides[] = {width, height};
    jintArray size = env->NewIntArray(2);
    if (size != nullptr) env->SetIntArrayRegion(size, 0, 2, sides);
    return size;
}

// x0, y0, x1, y1, score, class of an instance of the last image.
JNIEXPORT jfloatArray JNICALL Java_edgeseg_Segmenter_numbers(JNIEnv* env, jclass, jlong model, jint index) {
    edge_seg_instance found = {};
    edge_seg_get(model_of(model), index, &found);
    const jfloat values[kNumbers] = {found.box[0], found.box[1], found.box[2],
                                     found.box[3], found.score,  static_cast<jfloat>(found.class_index)};
    jfloatArray numbers = env->NewFloatArray(kNumbers);
    if (numbers != nullptr) env->SetFloatArrayRegion(numbers, 0, kNumbers, values);
    return numbers;
}

JNIEXPORT jbyteArray JNICALL Java_edgeseg_Segmenter_counts(JNIEnv* env, jclass, jlong model, jint index) {
    return bytes_of(env, edge_seg_rle(model_of(model), index));
}

JNIEXPORT jbyteArray JNICALL Java_edgeseg_Segmenter_error(JNIEnv* env, jclass) {
    return bytes_of(env, edge_seg_error());
}

JNIEXPORT jbyteArray JNICALL Java_edgeseg_Segmenter_errorCode(JNIEnv* env, jclass) {
    return bytes_of(env, edge_seg_error_code());
}

}  // extern "C"
