/* A double of libnvidia-encode.so.1: it writes down what FFmpeg hands over, and encodes by x264 or x265. README.md. */
#include "gpu.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>

#include <ffnvcodec/nvEncodeAPI.h>

#include "inside.h"

enum { PLACES = 64 }; /* more pictures than FFmpeg ever has on their way */

typedef struct {
    uint8_t *data;
    uint32_t width, height, pitch;
    NV_ENC_BUFFER_FORMAT format;
} Input;

typedef struct {
    Inside *inside;
    Packet packets[PLACES]; /* encoded, a ring; canned streams have the first one only */
    uint64_t times[PLACES]; /* of the pictures taken, a ring */
    long taken, encoded, locked;
    int width, height, hevc, canned, slot;
    uint8_t *chroma; /* room for a picture's planes U and V */
} Session;

static const char *last_words = "said by the driver's double";

/* --- what is written down ---------------------------------------------------------------------------- */

/* One JSON object a line, in one write: lines of several processes do not mix. */
static void record(const char *format, ...) {
    char line[4096];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    line[size++] = '\n';
    int file = open(in_folder("record.jsonl"), O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (file < 0) return;
    if (write(file, line, size) != size) abort();
    close(file);
}

static int same(const GUID *a, const GUID *b) { return !memcmp(a, b, sizeof *a); }

static const char *preset_name(const GUID *guid) {
    static const struct { const GUID *guid; const char *name; } presets[] = {
        {&NV_ENC_PRESET_P1_GUID, "p1"}, {&NV_ENC_PRESET_P2_GUID, "p2"}, {&NV_ENC_PRESET_P3_GUID, "p3"},
        {&NV_ENC_PRESET_P4_GUID, "p4"}, {&NV_ENC_PRESET_P5_GUID, "p5"}, {&NV_ENC_PRESET_P6_GUID, "p6"},
        {&NV_ENC_PRESET_P7_GUID, "p7"},
    };
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (same(presets[i].guid, guid)) return presets[i].name;
    return "another";
}

static const char *profile_name(const GUID *guid) {
    return same(guid, &NV_ENC_H264_PROFILE_HIGH_GUID) ? "high"
         : same(guid, &NV_ENC_HEVC_PROFILE_MAIN_GUID) ? "main"
         : same(guid, &NV_ENC_HEVC_PROFILE_MAIN10_GUID) ? "main10" : "another";
}

static void record_initialize(const NV_ENC_INITIALIZE_PARAMS *p, int hevc) {
    const NV_ENC_CONFIG *config = p->encodeConfig;
    const NV_ENC_RC_PARAMS *rate = &config->rcParams;
    const NV_ENC_CONFIG_H264 *h264 = &config->encodeCodecConfig.h264Config;
    const NV_ENC_CONFIG_HEVC *h265 = &config->encodeCodecConfig.hevcConfig;
    const NV_ENC_CONFIG_H264_VUI_PARAMETERS *vui = hevc ? &h265->hevcVUIParameters : &h264->h264VUIParameters;
    record("{\"event\": \"initialize\", \"pid\": %d, \"gpu\": \"%s\", \"codec\": \"%s\", \"width\": %u, \"height\": %u, "
           "\"rate\": \"%u/%u\", \"preset\": \"%s\", \"tuning\": %u, \"profile\": \"%s\", \"gop\": %u, "
           "\"frame_interval_p\": %d, \"rc\": %u, \"cq\": %u, \"average_bitrate\": %u, \"max_bitrate\": %u, "
           "\"spatial_aq\": %u, \"lookahead\": %u, \"strict_gop\": %u, \"idr_period\": %u, \"bit_depth\": %u, "
           "\"full_range\": %u, \"primaries\": %u, \"transfer\": %u, \"matrix\": %u}",
           getpid(), gpu()->model, hevc ? "hevc" : "h264", p->encodeWidth, p->encodeHeight,
           p->frameRateNum, p->frameRateDen, preset_name(&p->presetGUID), p->tuningInfo,
           profile_name(&config->profileGUID), config->gopLength, config->frameIntervalP, rate->rateControlMode,
           rate->targetQuality, rate->averageBitRate, rate->maxBitRate, rate->enableAQ, rate->enableLookahead,
           rate->strictGOPTarget, hevc ? h265->idrPeriod : h264->idrPeriod, hevc ? h265->pixelBitDepthMinus8 + 8 : 8,
           vui->videoFullRangeFlag, vui->colourPrimaries, vui->transferCharacteristics, vui->colourMatrix);
}

/* --- sessions ---------------------------------------------------------------------------------------- */

/* A session's place among NVIDIA_DOUBLE_SESSIONS, counted over all processes; the kernel frees it with the process. */
static int take_slot(void) {
    int places = atoi(setting("NVIDIA_DOUBLE_SESSIONS", "0"));
    for (int place = 0; place < places; place++) {
        char name[32];
        snprintf(name, sizeof name, "session-%d", place);
        int file = open(in_folder(name), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (file >= 0 && !flock(file, LOCK_EX | LOCK_NB)) return file;
        close(file);
    }
    return -1;
}

static NVENCSTATUS NVENCAPI open_session(NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS *p, void **encoder) {
    if (!gpu()->engines) return NV_ENC_ERR_UNSUPPORTED_DEVICE;
    if (fault("no-session")) return NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY;
    int slot = take_slot();
    if (slot < 0 && getenv("NVIDIA_DOUBLE_SESSIONS")) return NV_ENC_ERR_OUT_OF_MEMORY;
    Session *session = calloc(1, sizeof *session);
    session->slot = slot;
    session->canned = getenv("NVIDIA_DOUBLE_CANNED") != NULL;
    *encoder = session;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI destroy_encoder(void *encoder) {
    Session *session = encoder;
    record("{\"event\": \"destroy\", \"pid\": %d, \"pictures\": %ld}", getpid(), session->taken);
    inside_close(session->inside);
    for (int i = 0; i < PLACES; i++) free(session->packets[i].data);
    free(session->chroma);
    if (session->slot >= 0) close(session->slot);
    free(session);
    return NV_ENC_SUCCESS;
}

/* --- what the GPU can do ----------------------------------------------------------------------------- */

static uint32_t minimum_width(int hevc) { return hevc ? 129 : 145; }
static uint32_t minimum_height(int hevc) { return hevc ? 33 : 49; }

static NVENCSTATUS NVENCAPI guid_count(void *encoder, uint32_t *count) { return *count = 2, NV_ENC_SUCCESS; }

static NVENCSTATUS NVENCAPI guids(void *encoder, GUID *list, uint32_t size, uint32_t *count) {
    const GUID both[] = {NV_ENC_CODEC_H264_GUID, NV_ENC_CODEC_HEVC_GUID};
    *count = size < 2 ? size : 2;
    memcpy(list, both, *count * sizeof *both);
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI capability(void *encoder, GUID codec, NV_ENC_CAPS_PARAM *p, int *value) {
    int hevc = same(&codec, &NV_ENC_CODEC_HEVC_GUID);
    switch (p->capsToQuery) {
    case NV_ENC_CAPS_WIDTH_MAX: case NV_ENC_CAPS_HEIGHT_MAX: *value = hevc ? 8192 : 4096; break;
    case NV_ENC_CAPS_WIDTH_MIN: *value = minimum_width(hevc); break;
    case NV_ENC_CAPS_HEIGHT_MIN: *value = minimum_height(hevc); break;
    case NV_ENC_CAPS_NUM_MAX_BFRAMES: *value = hevc ? 5 : 4; break;
    case NV_ENC_CAPS_SUPPORT_BFRAME_REF_MODE: *value = 3; break;
    case NV_ENC_CAPS_SUPPORT_10BIT_ENCODE: *value = hevc; break;
    case NV_ENC_CAPS_NUM_ENCODER_ENGINES: *value = gpu()->engines; break;
    case NV_ENC_CAPS_ASYNC_ENCODE_SUPPORT: *value = 0; break; /* Windows only */
    default: *value = 1;
    }
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI preset_ex(void *encoder, GUID codec, GUID preset, NV_ENC_TUNING_INFO tuning,
                                      NV_ENC_PRESET_CONFIG *p) {
    memset(&p->presetCfg, 0, sizeof p->presetCfg);
    p->presetCfg.version = NV_ENC_CONFIG_VER;
    p->presetCfg.gopLength = 250;
    p->presetCfg.frameIntervalP = 3; /* B-frames, unless they are forbidden */
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI preset(void *encoder, GUID codec, GUID preset, NV_ENC_PRESET_CONFIG *p) {
    return preset_ex(encoder, codec, preset, 0, p);
}

/* --- encoding ---------------------------------------------------------------------------------------- */

static Inside *open_inside(const NV_ENC_INITIALIZE_PARAMS *p, int hevc) {
    const NV_ENC_CONFIG *config = p->encodeConfig;
    const NV_ENC_CONFIG_H264 *h264 = &config->encodeCodecConfig.h264Config;
    const NV_ENC_CONFIG_HEVC *h265 = &config->encodeCodecConfig.hevcConfig;
    const NV_ENC_CONFIG_H264_VUI_PARAMETERS *vui = hevc ? &h265->hevcVUIParameters : &h264->h264VUIParameters;
    const Settings settings = {
        .hevc = hevc,
        .bits = hevc ? 8 + h265->pixelBitDepthMinus8 : 8,
        .width = p->encodeWidth, .height = p->encodeHeight,
        .rate_num = p->frameRateNum, .rate_den = p->frameRateDen,
        .gop = config->gopLength ? config->gopLength : 250,
        .b_frames = config->frameIntervalP > 1 ? config->frameIntervalP - 1 : 0,
        .crf = config->rcParams.targetQuality ? config->rcParams.targetQuality - 3 : 23, /* NVENC's scale is higher */
        .headers_in_stream = !(hevc ? h265->disableSPSPPS : h264->disableSPSPPS),
        .full_range = vui->videoFullRangeFlag, .primaries = vui->colourPrimaries,
        .transfer = vui->transferCharacteristics, .matrix = vui->colourMatrix,
    };
    return inside_open(&settings);
}

static NVENCSTATUS NVENCAPI initialize(void *encoder, NV_ENC_INITIALIZE_PARAMS *p) {
    Session *session = encoder;
    session->hevc = same(&p->encodeGUID, &NV_ENC_CODEC_HEVC_GUID);
    session->width = p->encodeWidth, session->height = p->encodeHeight;
    record_initialize(p, session->hevc);
    if (p->encodeWidth < minimum_width(session->hevc) || p->encodeHeight < minimum_height(session->hevc)) {
        last_words = "Frame Dimension less than the minimum supported value.";
        return NV_ENC_ERR_INVALID_PARAM;
    }
    if (fault("no-buffers")) return NV_ENC_ERR_OUT_OF_MEMORY;
    session->inside = open_inside(p, session->hevc);
    session->chroma = calloc(p->encodeWidth + 2, 2 * (p->encodeHeight + 2));
    return session->inside ? NV_ENC_SUCCESS : NV_ENC_ERR_INVALID_PARAM;
}

static NVENCSTATUS NVENCAPI sequence_params(void *encoder, NV_ENC_SEQUENCE_PARAM_PAYLOAD *p) {
    *p->outSPSPPSPayloadSize = inside_headers(((Session *)encoder)->inside, p->spsppsBuffer);
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI create_input(void *encoder, NV_ENC_CREATE_INPUT_BUFFER *p) {
    Input *input = calloc(1, sizeof *input);
    int bytes = p->bufferFmt == NV_ENC_BUFFER_FORMAT_YUV420_10BIT ? 2 : 1;
    *input = (Input){NULL, p->width, p->height, (p->width * bytes + 255) & ~255u, p->bufferFmt};
    input->data = calloc(input->pitch, p->height + (p->height + 1) / 2 + 1);
    p->inputBuffer = input;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI destroy_input(void *encoder, NV_ENC_INPUT_PTR input) {
    free(((Input *)input)->data);
    free(input);
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI lock_input(void *encoder, NV_ENC_LOCK_INPUT_BUFFER *p) {
    const Input *input = p->inputBuffer;
    p->bufferDataPtr = input->data;
    p->pitch = input->pitch;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI unlock_input(void *encoder, NV_ENC_INPUT_PTR input) { return NV_ENC_SUCCESS; }

/* Take U and V, which stand in turns in semi-planar formats, apart. */
static void part_chroma(Session *session, const Input *input, const uint8_t *chroma, Picture *picture) {
    int bytes = input->format == NV_ENC_BUFFER_FORMAT_YUV420_10BIT ? 2 : 1;
    int width = (session->width + 1) / 2, height = (session->height + 1) / 2;
    for (int i = 0; i < 2; i++) {
        picture->strides[1 + i] = width * bytes;
        picture->planes[1 + i] = session->chroma + (size_t)i * width * height * bytes;
    }
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int i = 0; i < 2; i++)
                memcpy(picture->planes[1 + i] + ((size_t)y * width + x) * bytes,
                       chroma + (size_t)y * input->pitch + (2 * x + i) * bytes, bytes);
}

/* P010 has its ten bits at the top of each sixteen. */
static void shift_down(uint8_t *plane, size_t bytes) {
    for (uint16_t *sample = (uint16_t *)plane, *end = (uint16_t *)(plane + bytes); sample < end; sample++) *sample >>= 6;
}

static int planes_of(Session *session, const Input *input, Picture *picture) {
    size_t luma = (size_t)input->pitch * input->height;
    uint8_t *chroma = input->data + luma, *second = chroma + (size_t)(input->pitch / 2) * ((input->height + 1) / 2);
    picture->planes[0] = input->data, picture->strides[0] = input->pitch;
    picture->strides[1] = picture->strides[2] = input->pitch / 2;
    switch (input->format) {
    case NV_ENC_BUFFER_FORMAT_YV12: /* V comes first */
        picture->planes[1] = second, picture->planes[2] = chroma;
        return 0;
    case NV_ENC_BUFFER_FORMAT_NV12:
        part_chroma(session, input, chroma, picture);
        return 0;
    case NV_ENC_BUFFER_FORMAT_YUV420_10BIT:
        part_chroma(session, input, chroma, picture);
        shift_down(input->data, luma);
        shift_down(session->chroma, (size_t)2 * picture->strides[1] * ((session->height + 1) / 2));
        return 0;
    default:
        return -1;
    }
}

static NVENCSTATUS take(Session *session, const NV_ENC_PIC_PARAMS *p, int idr) {
    Picture picture;
    if (planes_of(session, p->inputBuffer, &picture)) return NV_ENC_ERR_INVALID_PARAM;
    Packet *packet = &session->packets[session->encoded % PLACES];
    free(packet->data);
    session->encoded += inside_encode(session->inside, &picture, p->inputTimeStamp, idr, packet);
    return NV_ENC_SUCCESS;
}

static void drain(Session *session) {
    for (;; session->encoded++) {
        Packet *packet = &session->packets[session->encoded % PLACES], last;
        if (!inside_encode(session->inside, NULL, 0, 0, &last)) return;
        free(packet->data);
        *packet = last;
    }
}

static NVENCSTATUS NVENCAPI encode(void *encoder, NV_ENC_PIC_PARAMS *p) {
    Session *session = encoder;
    if (p->encodePicFlags & NV_ENC_PIC_FLAG_EOS) {
        if (session->inside && !session->canned) drain(session);
        return NV_ENC_SUCCESS;
    }
    long picture = session->taken++;
    if (picture == fault_at("fail")) return NV_ENC_ERR_GENERIC;
    if (picture == fault_at("hang")) pause();
    if (picture == fault_at("lose")) {
        close(open(in_folder("lost"), O_WRONLY | O_CREAT, 0666));
        return NV_ENC_ERR_DEVICE_NOT_EXIST;
    }
    int idr = (p->encodePicFlags & NV_ENC_PIC_FLAG_FORCEIDR) != 0;
    if (idr) record("{\"event\": \"forced-idr\", \"pid\": %d, \"picture\": %ld}", getpid(), picture);
    session->times[picture % PLACES] = p->inputTimeStamp;
    return session->canned && picture ? NV_ENC_SUCCESS : take(session, p, idr);
}

/* Results come in the order of decoding, so which buffer was meant for which picture does not matter. */
static NVENCSTATUS NVENCAPI lock_bitstream(void *encoder, NV_ENC_LOCK_BITSTREAM *p) {
    Session *session = encoder;
    if (!session->canned && session->locked == session->encoded) return NV_ENC_ERR_LOCK_BUSY;
    long place = session->locked++ % PLACES;
    const Packet *packet = &session->packets[session->canned ? 0 : place];
    p->bitstreamBufferPtr = packet->data;
    p->bitstreamSizeInBytes = packet->size;
    p->outputTimeStamp = session->canned ? session->times[place] : packet->time;
    p->pictureType = packet->key ? NV_ENC_PIC_TYPE_IDR : NV_ENC_PIC_TYPE_P;
    p->frameAvgQP = 23;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI unlock_bitstream(void *encoder, NV_ENC_OUTPUT_PTR output) { return NV_ENC_SUCCESS; }

static NVENCSTATUS NVENCAPI create_output(void *encoder, NV_ENC_CREATE_BITSTREAM_BUFFER *p) {
    return p->bitstreamBuffer = malloc(1), NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI destroy_output(void *encoder, NV_ENC_OUTPUT_PTR output) {
    return free(output), NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI cuda_streams(void *encoder, NV_ENC_CUSTREAM_PTR in, NV_ENC_CUSTREAM_PTR out) {
    return NV_ENC_SUCCESS;
}

static const char *NVENCAPI last_error(void *encoder) { return last_words; }

/* --- the door ---------------------------------------------------------------------------------------- */

NVENCSTATUS NVENCAPI NvEncodeAPIGetMaxSupportedVersion(uint32_t *version) {
    *version = fault("old-driver") ? 8 << 4 : (NVENCAPI_MAJOR_VERSION << 4) | NVENCAPI_MINOR_VERSION;
    return NV_ENC_SUCCESS;
}

NVENCSTATUS NVENCAPI NvEncodeAPICreateInstance(NV_ENCODE_API_FUNCTION_LIST *door) {
    door->nvEncOpenEncodeSessionEx = open_session;
    door->nvEncDestroyEncoder = destroy_encoder;
    door->nvEncGetEncodeGUIDCount = guid_count;
    door->nvEncGetEncodeGUIDs = guids;
    door->nvEncGetEncodeCaps = capability;
    door->nvEncGetEncodePresetConfig = preset;
    door->nvEncGetEncodePresetConfigEx = preset_ex;
    door->nvEncInitializeEncoder = initialize;
    door->nvEncGetSequenceParams = sequence_params;
    door->nvEncCreateInputBuffer = create_input;
    door->nvEncDestroyInputBuffer = destroy_input;
    door->nvEncLockInputBuffer = lock_input;
    door->nvEncUnlockInputBuffer = unlock_input;
    door->nvEncCreateBitstreamBuffer = create_output;
    door->nvEncDestroyBitstreamBuffer = destroy_output;
    door->nvEncEncodePicture = encode;
    door->nvEncLockBitstream = lock_bitstream;
    door->nvEncUnlockBitstream = unlock_bitstream;
    door->nvEncSetIOCudaStreams = cuda_streams;
    door->nvEncGetLastErrorString = last_error;
    return NV_ENC_SUCCESS;
}
