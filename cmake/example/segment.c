/* Prints what a bundle finds in images: segment BUNDLE IMAGE... */
#include <edge_seg.h>
#include <stdio.h>
#include <stdlib.h>

static int print_instances(edge_seg_model *model, const char *path) {
    int width, height, count = edge_seg_segment_file(model, path);
    if (count < 0 || edge_seg_size(model, &width, &height) < 0) return -1;
    unsigned char *mask = malloc((size_t)width * height);
    if (mask == NULL) return -1;
    printf("%s: %d x %d pixels, %d instances\n", path, width, height, count);
    for (int i = 0; i < count; ++i) {
        edge_seg_instance found;
        if (edge_seg_get(model, i, &found) < 0 || edge_seg_mask(model, i, mask, width) < 0) break;
        size_t area = 0;
        for (size_t at = 0; at < (size_t)width * height; ++at) area += mask[at];
        printf("  %s %.3f at %.1f %.1f %.1f %.1f, %zu pixels\n", edge_seg_class_name(model, found.class_index),
               found.score, found.box[0], found.box[1], found.box[2], found.box[3], area);
    }
    free(mask);
    return 0;
}

int main(int count, char **words) {
    if (count < 3) {
        fprintf(stderr, "usage: segment BUNDLE IMAGE...\n");
        return 2;
    }
    edge_seg_options options;
    edge_seg_default_options(&options);
    options.engine = getenv("EDGE_SEG_ENGINE"); /* "null" runs without a model */
    edge_seg_model *model = edge_seg_open(words[1], &options);
    int failed = model == NULL;
    for (int i = 2; !failed && i < count; ++i) failed = print_instances(model, words[i]) < 0;
    if (failed) fprintf(stderr, "segment: %s\n", edge_seg_error());
    edge_seg_close(model);
    return failed;
}
