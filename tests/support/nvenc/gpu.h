/* What both libraries of the double share: which GPU they stand for, and what is wrong with it. See README.md. */
#ifndef GPU_H
#define GPU_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *model, *name;
    int major, minor; /* compute capability */
    int engines;      /* encoders on the chip; 0 is a GPU that only decodes */
} Gpu;

static inline const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static inline const Gpu *gpu(void) {
    static const Gpu gpus[] = {
        {"T4", "Tesla T4", 7, 5, 1},
        {"A10G", "NVIDIA A10G", 8, 6, 1},
        {"L4", "NVIDIA L4", 8, 9, 2},
        {"L40S", "NVIDIA L40S", 8, 9, 3},
        {"A100", "NVIDIA A100-SXM4-40GB", 8, 0, 0},
    };
    const char *model = setting("NVIDIA_DOUBLE_GPU", "T4");
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++)
        if (!strcmp(gpus[i].model, model)) return &gpus[i];
    fprintf(stderr, "the driver's double knows no GPU %s\n", model);
    exit(99);
}

/* Whether NVIDIA_DOUBLE_FAULT is `name`. */
static inline int fault(const char *name) { return !strcmp(setting("NVIDIA_DOUBLE_FAULT", ""), name); }

/* The picture at which the fault `name@PICTURE` happens, or -1. */
static inline long fault_at(const char *name) {
    const char *value = setting("NVIDIA_DOUBLE_FAULT", "");
    size_t length = strlen(name);
    return !strncmp(value, name, length) && value[length] == '@' ? atol(value + length + 1) : -1;
}

static inline const char *in_folder(const char *file) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", setting("NVIDIA_DOUBLE_FOLDER", "/nonexistent"), file);
    return path;
}

/* A GPU that has fallen off the bus is gone for all processes. */
static inline int gpu_is_lost(void) { return !access(in_folder("lost"), F_OK); }

#endif
