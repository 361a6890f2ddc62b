/* Stands in for libifrnet where a sample is tested and not the library: same C ABI, arithmetic that a test can repeat.
 *
 * A frame is img0 + t * (img1 - img0), rounded, byte for byte, in one layout. Opening "status:N" fails with status N.
 * At t = 0.75 a call takes 300 ms, unless it is cancelled.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ifrnet.h"

#define MOST 64

static _Thread_local char sentence[256];
static char opened[MOST]; /* by handle, which begins at 1 */
static volatile int cancelled;
static size_t count_opened;

static ifrnet_status fail(ifrnet_status status, const char *text) {
    snprintf(sentence, sizeof sentence, "%s", text);
    return status;
}

static ifrnet_status check(ifrnet_runtime *runtime) {
    size_t handle = (size_t)runtime;
    if (handle == 0 || handle >= MOST || !opened[handle]) return fail(IFRNET_ARGUMENT, "this runtime was closed");
    return IFRNET_OK;
}

static ifrnet_status give(ifrnet_runtime **runtime) {
    if (count_opened + 1 >= MOST) return fail(IFRNET_MEMORY, "no handle is left");
    opened[++count_opened] = 1;
    *runtime = (ifrnet_runtime *)count_opened;
    return IFRNET_OK;
}

uint32_t ifrnet_abi(void) { return IFRNET_ABI; }
const char *ifrnet_version(void) { return "stub"; }
const char *ifrnet_error(void) { return sentence; }

ifrnet_status ifrnet_devices(ifrnet_device *devices, size_t *count) {
    if (devices != NULL && *count >= 2) {
        strcpy(devices[0].name, "cpu");
        strcpy(devices[0].description, "caf\xc3\xa9"); /* what JNI must not take as it is */
        strcpy(devices[1].name, "vulkan:0");
        devices[1].software = 1;
    }
    *count = 2;
    return IFRNET_OK;
}

ifrnet_status ifrnet_open(const char *folder, const ifrnet_options *options, ifrnet_runtime **runtime) {
    int status = 0;
    *runtime = NULL;
    if (sscanf(folder, "status:%d", &status) == 1) return fail((ifrnet_status)status, folder);
    if (options->device != NULL && strcmp(options->device, "cpu") != 0) return fail(IFRNET_BACKEND, options->device);
    return give(runtime);
}

ifrnet_status ifrnet_open_memory(const ifrnet_file *files, size_t count, const ifrnet_options *options,
                                 ifrnet_runtime **runtime) {
    (void)options;
    *runtime = NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(files[i].name, "manifest.json") == 0 && files[i].bytes == 2 && memcmp(files[i].data, "{}", 2) == 0)
            return give(runtime);
    return fail(IFRNET_ARTIFACT, "no manifest.json among the files");
}

ifrnet_status ifrnet_describe(ifrnet_runtime *runtime, ifrnet_info *info) {
    ifrnet_status status = check(runtime);
    if (status != IFRNET_OK) return status;
    info->width = 6, info->height = 4, info->any_timestep = 1, info->proven = 1, info->threads = 2;
    strcpy(info->name, "name"), strcpy(info->device, "cpu"), strcpy(info->precision, "fp32");
    strcpy(info->arithmetic, "fp16"), strcpy(info->identity, "identity"), strcpy(info->machine, "{}");
    return IFRNET_OK;
}

/* Bytes in a row of a plane and rows of it; false where there is no such plane. */
static int extent(const ifrnet_image *image, int plane, int *row, int *rows) {
    int half = (image->width + 1) / 2;
    *rows = plane == 0 ? image->height : (image->height + 1) / 2;
    switch (image->layout) {
    case IFRNET_RGB: *row = 3 * image->width; return plane < 1;
    case IFRNET_RGBA: *row = 4 * image->width; return plane < 1;
    case IFRNET_NV12:
    case IFRNET_NV21: *row = plane == 0 ? image->width : 2 * half; return plane < 2;
    case IFRNET_I420: *row = plane == 0 ? image->width : half; return 1;
    default: return 0;
    }
}

static ifrnet_status check_image(const ifrnet_image *image) {
    int row, rows;
    if (image->size != sizeof *image) return fail(IFRNET_ARGUMENT, "size");
    for (int plane = 0; plane < 3 && extent(image, plane, &row, &rows); plane++) {
        if (image->plane[plane] == NULL) return fail(IFRNET_ARGUMENT, "a null plane");
        if ((size_t)(rows - 1) * (size_t)image->stride[plane] + (size_t)row > image->bytes[plane])
            return fail(IFRNET_FRAME, "rows leave their memory");
    }
    return IFRNET_OK;
}

static void mix(const ifrnet_image *a, const ifrnet_image *b, float t, const ifrnet_image *output) {
    int row, rows;
    for (int plane = 0; plane < 3 && extent(a, plane, &row, &rows); plane++)
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < row; x++) {
                const unsigned char *from = (unsigned char *)a->plane[plane] + y * a->stride[plane];
                const unsigned char *to = (unsigned char *)b->plane[plane] + y * b->stride[plane];
                unsigned char *out = (unsigned char *)output->plane[plane] + y * output->stride[plane];
                out[x] = (unsigned char)((float)from[x] + t * (float)(to[x] - from[x]) + 0.5f);
            }
}

static ifrnet_status wait_300_ms(void) {
    const struct timespec step = {0, 10000000};
    for (int i = 0; i < 30; i++) {
        if (cancelled) return fail(IFRNET_CANCELLED, "cancelled");
        nanosleep(&step, NULL);
    }
    return IFRNET_OK;
}

ifrnet_status ifrnet_interpolate(ifrnet_runtime *runtime, const ifrnet_image *img0, const ifrnet_image *img1,
                                 const float *t, size_t count, const ifrnet_image *outputs) {
    ifrnet_status status = check(runtime);
    cancelled = 0;
    if (status == IFRNET_OK) status = check_image(img0);
    if (status == IFRNET_OK) status = check_image(img1);
    for (size_t i = 0; i < count && status == IFRNET_OK; i++) {
        if (!(t[i] > 0.0f && t[i] < 1.0f)) return fail(IFRNET_TIMESTEP, "t is not between 0 and 1");
        if (outputs[i].layout != img0->layout || outputs[i].width != img0->width || outputs[i].height != img0->height)
            return fail(IFRNET_FRAME, "another layout or size");
        if (t[i] == 0.75f) status = wait_300_ms();
        if (status == IFRNET_OK) status = check_image(&outputs[i]);
        if (status == IFRNET_OK) status = check(runtime); /* nobody closed it meanwhile */
        if (status == IFRNET_OK) mix(img0, img1, t[i], &outputs[i]);
    }
    return status;
}

ifrnet_status ifrnet_infer(ifrnet_runtime *runtime, const float *img0, const float *img1, const float *t, size_t count,
                           float *output, size_t output_values) {
    (void)img0, (void)img1, (void)t, (void)count, (void)output, (void)output_values;
    return check(runtime);
}

ifrnet_status ifrnet_cancel(ifrnet_runtime *runtime) {
    cancelled = 1;
    return check(runtime);
}

ifrnet_status ifrnet_verify(ifrnet_runtime *runtime, ifrnet_comparison *comparisons, size_t *count) {
    ifrnet_status status = check(runtime);
    if (status != IFRNET_OK) return status;
    if (comparisons != NULL && *count >= 1)
        comparisons[0] = (ifrnet_comparison){comparisons[0].size, 6, 4, 1, 0.5f, 0.25, 60.0, 0.125, ""};
    *count = 1;
    return IFRNET_OK;
}

ifrnet_status ifrnet_close(ifrnet_runtime *runtime) {
    ifrnet_status status = check(runtime);
    if (status != IFRNET_OK) {
        fprintf(stderr, "closed twice\n"); /* a wrapper must not, so its test sees it */
        return status;
    }
    opened[(size_t)runtime] = 0;
    return IFRNET_OK;
}
