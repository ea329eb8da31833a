/* libedge_seg: instance segmentation with a bundle that `edge-seg convert` made, for programs in C and C++.
 *
 *   edge_seg_model *model = edge_seg_open("bundle", NULL);
 *   int count = edge_seg_segment_file(model, "photo.jpg");
 *
 * Functions that can fail return NULL or -1, and edge_seg_error() then holds the reason, for the calling thread.
 *
 * Threads: a model is for one thread at a time (guard it with a lock of your own); several models work in several
 * threads at once. What a model returns belongs to it and is valid until its next edge_seg_segment… or edge_seg_close.
 *
 * libedge_seg shows Paddle Lite the processor as /proc/cpuinfo has it. edge-seg-run shows it cores that the library
 * knows for twins that it doesn't know, which int8 gains from on Cortex-A76 (cmake/README.md).
 *
 * The inference library may end the process on a model that it can't run. Files, versions, the processor and shapes are
 * checked before it sees them; a program that must survive all the same starts edge-seg-run instead.
 */
#ifndef EDGE_SEG_H
#define EDGE_SEG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EDGE_SEG_API __attribute__((visibility("default")))

typedef struct edge_seg_model edge_seg_model; /* an open bundle */

typedef struct edge_seg_options {
    const char* engine;     /* NULL: the bundle's */
    int threads;            /* 0: the engine's choice */
    const char* power_mode; /* Paddle Lite's: NULL or "no-bind", "high", "low", "full", "rand-high", "rand-low" */
    double score;           /* below 0: the bundle's threshold */
    int top_k;              /* 0: as many as the bundle keeps */
    int instances;          /* exactly so many best boxes whatever their scores, to measure; below 0: by the score */
    const char* public_key; /* PEM file: the bundle must be signed with that key; NULL: as trusted keys demand */
} edge_seg_options;

typedef struct edge_seg_instance {
    float box[4]; /* x0, y0, x1, y1 in pixels of the image */
    float score;
    int class_index; /* of edge_seg_class_name() */
} edge_seg_instance;

EDGE_SEG_API const char* edge_seg_version(void);

/* Fills in the defaults. Call it before you set single fields. */
EDGE_SEG_API void edge_seg_default_options(edge_seg_options* options);

/* Opens and checks a bundle and loads its graphs. `options` may be NULL. NULL when it fails. */
EDGE_SEG_API edge_seg_model* edge_seg_open(const char* bundle, const edge_seg_options* options);

/* Closes it; NULL is allowed. */
EDGE_SEG_API void edge_seg_close(edge_seg_model* model);

EDGE_SEG_API int edge_seg_class_count(const edge_seg_model* model);
EDGE_SEG_API const char* edge_seg_class_name(const edge_seg_model* model,
                                             int class_index); /* NULL when there is none */

enum { EDGE_SEG_BGR = 0, EDGE_SEG_RGB = 1 }; /* the order of a pixel's bytes */

/* Each finds the instances of one image, best first, and returns their number, or -1. */
EDGE_SEG_API int edge_seg_segment(edge_seg_model* model, const uint8_t* pixels, int width, int height, size_t stride,
                                  int order); /* 3 bytes a pixel, `stride` bytes from a row to the next */
EDGE_SEG_API int edge_seg_segment_encoded(edge_seg_model* model, const void* data,
                                          size_t size); /* a JPEG or PNG in memory */
EDGE_SEG_API int edge_seg_segment_file(edge_seg_model* model, const char* path);

/* Of the last image: its size, its instance `index`, that instance's mask, and the mask as COCO run-length code. */
EDGE_SEG_API int edge_seg_size(const edge_seg_model* model, int* width, int* height);
EDGE_SEG_API int edge_seg_get(const edge_seg_model* model, int index, edge_seg_instance* instance);
EDGE_SEG_API int edge_seg_mask(const edge_seg_model* model, int index, uint8_t* mask,
                               size_t stride); /* 0 or 1 for each pixel, `stride` bytes from a row to the next */
EDGE_SEG_API const char* edge_seg_rle(const edge_seg_model* model, int index);

/* Compares the bundle's golden image with what is expected: 0 when it passes. */
EDGE_SEG_API int edge_seg_self_test(edge_seg_model* model);

/* Why the calling thread's last call failed, in words, with a remedy; "" when none did. edge_seg_error_code() is the
 * same for programs, such as "hash-mismatch". */
EDGE_SEG_API const char* edge_seg_error(void);
EDGE_SEG_API const char* edge_seg_error_code(void);

#ifdef __cplusplus
}
#endif

#endif
