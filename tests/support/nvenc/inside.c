/* x264 and x265 behind one face. Nothing is looked ahead: without B-frames a picture comes out at once. */
#include "inside.h"

#include <stdlib.h>
#include <string.h>

#include <x264.h>
#include <x265.h>

struct Inside {
    Settings settings;
    x264_t *x264;
    const x265_api *api; /* of the build for the depth */
    x265_encoder *x265;
    x265_param *parameters;
};

static x264_t *open_x264(const Settings *s) {
    x264_param_t p;
    x264_param_default_preset(&p, "ultrafast", s->b_frames ? NULL : "zerolatency");
    p.i_width = s->width, p.i_height = s->height;
    p.i_fps_num = s->rate_num, p.i_fps_den = s->rate_den;
    p.i_csp = X264_CSP_I420;
    p.i_threads = 1;
    p.i_log_level = X264_LOG_NONE;
    p.i_keyint_max = s->gop;
    p.i_scenecut_threshold = 0;
    p.i_bframe = s->b_frames, p.i_bframe_adaptive = 0;
    p.rc.i_lookahead = 0, p.i_sync_lookahead = 0;
    p.rc.i_rc_method = X264_RC_CRF, p.rc.f_rf_constant = s->crf;
    p.b_repeat_headers = s->headers_in_stream, p.b_annexb = 1;
    p.vui.b_fullrange = s->full_range, p.vui.i_colorprim = s->primaries;
    p.vui.i_transfer = s->transfer, p.vui.i_colmatrix = s->matrix;
    x264_param_apply_profile(&p, "high");
    return x264_encoder_open(&p);
}

static x265_encoder *open_x265(Inside *inside) {
    const Settings *s = &inside->settings;
    x265_param *p = inside->parameters;
    inside->api->param_default_preset(p, "ultrafast", s->b_frames ? NULL : "zerolatency");
    p->sourceWidth = s->width, p->sourceHeight = s->height;
    p->fpsNum = s->rate_num, p->fpsDenom = s->rate_den;
    p->internalCsp = X265_CSP_I420;
    p->frameNumThreads = 1;
    inside->api->param_parse(p, "pools", "none");
    p->logLevel = X265_LOG_NONE;
    p->keyframeMax = s->gop, p->bOpenGOP = 0;
    p->scenecutThreshold = 0;
    p->bframes = s->b_frames, p->bFrameAdaptive = 0;
    if (s->b_frames) p->lookaheadDepth = s->b_frames + 1;
    p->rc.rateControlMode = X265_RC_CRF, p->rc.rfConstant = s->crf;
    p->bRepeatHeaders = s->headers_in_stream, p->bEmitInfoSEI = 0;
    p->vui.bEnableVideoSignalTypePresentFlag = p->vui.bEnableColorDescriptionPresentFlag = 1;
    p->vui.bEnableVideoFullRangeFlag = s->full_range, p->vui.colorPrimaries = s->primaries;
    p->vui.transferCharacteristics = s->transfer, p->vui.matrixCoeffs = s->matrix;
    inside->api->param_apply_profile(p, s->bits > 8 ? "main10" : "main");
    return inside->api->encoder_open(p);
}

Inside *inside_open(const Settings *settings) {
    Inside *inside = calloc(1, sizeof *inside);
    inside->settings = *settings;
    if (settings->hevc) {
        inside->api = x265_api_get(settings->bits);
        if (inside->api) inside->parameters = inside->api->param_alloc();
        if (inside->api) inside->x265 = open_x265(inside);
    } else {
        inside->x264 = open_x264(settings);
    }
    if (inside->x264 || inside->x265) return inside;
    inside_close(inside);
    return NULL;
}

void inside_close(Inside *inside) {
    if (!inside) return;
    if (inside->x264) x264_encoder_close(inside->x264);
    if (inside->x265) inside->api->encoder_close(inside->x265);
    if (inside->api) inside->api->param_free(inside->parameters);
    free(inside);
}

size_t inside_headers(Inside *inside, uint8_t *to) {
    size_t size = 0;
    if (inside->x264) {
        x264_nal_t *nals;
        int count;
        x264_encoder_headers(inside->x264, &nals, &count);
        for (int i = 0; i < count; i++) {
            if (nals[i].i_type == NAL_SEI) continue; /* x264's own name, which no GPU writes */
            memcpy(to + size, nals[i].p_payload, nals[i].i_payload);
            size += nals[i].i_payload;
        }
        return size;
    }
    x265_nal *nals;
    uint32_t count;
    inside->api->encoder_headers(inside->x265, &nals, &count);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(to + size, nals[i].payload, nals[i].sizeBytes);
        size += nals[i].sizeBytes;
    }
    return size;
}

static void append(Packet *packet, const uint8_t *data, size_t size) {
    packet->data = realloc(packet->data, packet->size + size);
    memcpy(packet->data + packet->size, data, size);
    packet->size += size;
}

static void encode_x264(Inside *inside, const Picture *picture, int64_t time, int idr, Packet *packet) {
    x264_picture_t in, out;
    x264_nal_t *nals;
    int count;
    x264_picture_init(&in);
    in.i_pts = time;
    in.i_type = idr ? X264_TYPE_IDR : X264_TYPE_AUTO;
    in.img.i_csp = X264_CSP_I420, in.img.i_plane = 3;
    for (int i = 0; picture && i < 3; i++) {
        in.img.plane[i] = picture->planes[i];
        in.img.i_stride[i] = picture->strides[i];
    }
    do {
        if (x264_encoder_encode(inside->x264, &nals, &count, picture ? &in : NULL, &out) < 0) return;
    } while (!count && !picture && x264_encoder_delayed_frames(inside->x264));
    for (int i = 0; i < count; i++) append(packet, nals[i].p_payload, nals[i].i_payload);
    packet->time = out.i_pts, packet->key = out.b_keyframe;
}

static void encode_x265(Inside *inside, const Picture *picture, int64_t time, int idr, Packet *packet) {
    x265_picture in, out;
    x265_nal *nals;
    uint32_t count;
    inside->api->picture_init(inside->parameters, &in);
    inside->api->picture_init(inside->parameters, &out);
    in.pts = time;
    in.sliceType = idr ? X265_TYPE_IDR : X265_TYPE_AUTO;
    in.bitDepth = inside->settings.bits;
    for (int i = 0; picture && i < 3; i++) {
        in.planes[i] = picture->planes[i];
        in.stride[i] = picture->strides[i];
    }
    if (inside->api->encoder_encode(inside->x265, &nals, &count, picture ? &in : NULL, &out) < 1) return;
    for (uint32_t i = 0; i < count; i++) append(packet, nals[i].payload, nals[i].sizeBytes);
    packet->time = out.pts, packet->key = out.sliceType == X265_TYPE_IDR;
}

int inside_encode(Inside *inside, const Picture *picture, int64_t time, int idr, Packet *packet) {
    *packet = (Packet){0};
    if (inside->x264) encode_x264(inside, picture, time, idr, packet);
    else encode_x265(inside, picture, time, idr, packet);
    return packet->size > 0;
}
