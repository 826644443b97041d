/* What really encodes inside the double: x264 or x265, one picture in, at most one out. */
#ifndef INSIDE_H
#define INSIDE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int hevc, bits, width, height, rate_num, rate_den;
    int gop, b_frames;
    int crf;
    int headers_in_stream; /* before each key picture, or only in inside_headers */
    int full_range, primaries, transfer, matrix;
} Settings;

/* Planar 4:2:0; strides in bytes, as the encoders count them too. */
typedef struct {
    uint8_t *planes[3];
    int strides[3];
} Picture;

typedef struct {
    uint8_t *data;
    size_t size;
    int64_t time;
    int key;
} Packet;

typedef struct Inside Inside;

Inside *inside_open(const Settings *settings); /* NULL: impossible settings */
size_t inside_headers(Inside *inside, uint8_t *to);
/* `picture` NULL: no more come. Returns whether `packet` was filled; its data is the caller's to free. */
int inside_encode(Inside *inside, const Picture *picture, int64_t time, int idr, Packet *packet);
void inside_close(Inside *inside);

#endif
