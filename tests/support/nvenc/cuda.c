/* A double of libcuda.so.1: one GPU, whose contexts are nothing. All else that FFmpeg looks up succeeds (build.sh). */
#include "gpu.h"

enum { SUCCESS = 0, OUT_OF_MEMORY = 2, NO_DEVICE = 100 };

static int context;

int cuInit(unsigned flags) { return fault("no-device") || gpu_is_lost() ? NO_DEVICE : SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 11040, SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int index) { return *device = index, SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { return *value = 1, SUCCESS; }
int cuDeviceGetName(char *name, int length, int device) { return snprintf(name, length, "%s", gpu()->name), SUCCESS; }
int cuDeviceComputeCapability(int *major, int *minor, int device) {
    return *major = gpu()->major, *minor = gpu()->minor, SUCCESS;
}
int cuCtxCreate_v2(void **created, unsigned flags, int device) {
    return *created = &context, fault("no-memory") ? OUT_OF_MEMORY : SUCCESS;
}
int cuCtxPopCurrent_v2(void **popped) { return popped ? *popped = &context, SUCCESS : SUCCESS; }
int cuDevicePrimaryCtxRetain(void **retained, int device) { return *retained = &context, SUCCESS; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { return *flags = 0, *active = 0, SUCCESS; }
int cuGetErrorName(int error, const char **name) {
    *name = error == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_OUT_OF_MEMORY";
    return SUCCESS;
}
int cuGetErrorString(int error, const char **text) {
    *text = error == NO_DEVICE ? "no CUDA-capable device is detected" : "out of memory";
    return SUCCESS;
}

/* What newer FFmpeg looks up besides, and the headers of older ones do not list. */
#define REST(name) __attribute__((weak)) int name(void) { return SUCCESS; }
REST(cuArray3DGetDescriptor_v2) REST(cuArrayCreate_v2) REST(cuArrayGetPlane) REST(cuCtxGetCurrent)
REST(cuCtxGetStreamPriorityRange) REST(cuCtxSynchronize) REST(cuDeviceGetByPCIBusId) REST(cuDeviceGetLuid)
REST(cuDeviceGetPCIBusId) REST(cuDeviceGetUuid_v2) REST(cuLaunchHostFunc) REST(cuMemAllocAsync)
REST(cuMemFreeAsync) REST(cuMemFreeHost) REST(cuMemHostAlloc) REST(cuMemsetD16Async)
REST(cuMemsetD2D16Async) REST(cuMemsetD2D32Async) REST(cuMemsetD2D8Async) REST(cuMemsetD32Async)
REST(cuStreamCreateWithPriority) REST(cuStreamWaitEvent)
