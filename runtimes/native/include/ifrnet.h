/* IFRNet frame interpolation on ncnn: the C ABI of libifrnet.
 *
 * An artifact is the folder that `python -m export --target ncnn` writes; this library loads it unchanged.
 *
 *     ifrnet_options options = {sizeof options};
 *     ifrnet_runtime *runtime;
 *     if (ifrnet_open("artifacts/ifrnet_s-ncnn-fp16-1280x720", &options, &runtime) != IFRNET_OK) puts(ifrnet_error());
 *
 * Every function but the first three returns a status. Anything but IFRNET_OK leaves a sentence in ifrnet_error(): what
 * was got, what is expected, what to do. No function throws, exits or prints. Structs begin with `size`: set it to sizeof
 * the struct, and zero the rest; fields that this version of the library does not know have to be zero. Fields that
 * choose are int32_t, and take the values of the enum that their comment names.
 *
 * Threads: every function may be called from any thread. Calls on one runtime run one after the other; open an artifact
 * twice for two at a time. A runtime that was closed is refused, also while another thread closes it. So is, in a forked
 * process, one of its parent's (IFRNET_BACKEND; ifrnet_close does nothing with it there).
 */
#ifndef IFRNET_H
#define IFRNET_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define IFRNET_API __declspec(dllexport)
#else
#define IFRNET_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a program that was built with the header before would no longer work. */
#define IFRNET_ABI 1

/* A loaded artifact. Not a pointer into memory: never read what it points to. */
typedef struct ifrnet_runtime ifrnet_runtime;

/* The classes of runtimes.errors in Python, by their names there, and what only C needs. */
typedef enum ifrnet_status {
    IFRNET_OK = 0,
    IFRNET_ARGUMENT = 1,  /* RuntimesError: a null pointer, a struct of another size, a runtime that was closed */
    IFRNET_ARTIFACT = 2,  /* ArtifactError: no artifact, a changed one, one of a newer format */
    IFRNET_BACKEND = 3,   /* BackendError: the device is missing, or it failed */
    IFRNET_PARITY = 4,    /* ParityError: the artifact failed its proof on this device, or was never proved here */
    IFRNET_FRAME = 5,     /* FrameError: an image of another size or layout, or memory too small for it */
    IFRNET_TIMESTEP = 6,  /* TimestepError: a t that the checkpoint does not serve */
    IFRNET_MEMORY = 7,    /* MemoryError */
    IFRNET_CANCELLED = 8, /* ifrnet_cancel was called */
    IFRNET_INTERNAL = 9   /* a bug in this library: report it */
} ifrnet_status;

/* ---- what there is --------------------------------------------------------------------------------------------- */

/* IFRNET_ABI of the library. */
IFRNET_API uint32_t ifrnet_abi(void);

/* Versions of this library and of ncnn: "0.1.0, ncnn 1.0.20261020". */
IFRNET_API const char *ifrnet_version(void);

/* What went wrong last on this thread, one line; "" before anything did. Valid until this thread's next call. */
IFRNET_API const char *ifrnet_error(void);

typedef struct ifrnet_device {
    uint32_t size;
    char name[32];          /* as in ifrnet_options.device: "cpu", "vulkan:0" */
    char description[128];  /* what it is, for people */
    char driver[64];        /* of a GPU */
    char reason[128];       /* why it cannot be used; "" when it can */
    int32_t software;       /* 1: a GPU that the CPU emulates, right and slow */
} ifrnet_device;

/* The devices here. *count: how many `devices` holds, then how many there are; `devices` may be NULL when *count is 0.
 * The first one's `size` stands for all. Looking for GPUs starts the Vulkan driver. */
IFRNET_API ifrnet_status ifrnet_devices(ifrnet_device *devices, size_t *count);

/* ---- opening --------------------------------------------------------------------------------------------------- */

typedef enum ifrnet_unproven {
    IFRNET_REFUSE = 0, /* IFRNET_PARITY, when no verdict holds for this device, arithmetic and processor */
    IFRNET_PROVE = 1,  /* run the proof then, once: the outcome is kept, and a failed artifact is refused */
    IFRNET_ALLOW = 2,  /* load it all the same; one that failed is refused */
    IFRNET_INSPECT = 3 /* load one that failed too: to look at it, or to prove it again */
} ifrnet_unproven;

typedef enum ifrnet_precision {
    IFRNET_AS_EXPORTED = 0,
    IFRNET_FLOAT32 = 1 /* compute in float32 whatever the weights are stored in */
} ifrnet_precision;

typedef struct ifrnet_options {
    uint32_t size;
    int32_t threads;       /* CPU threads; 0: one for each physical core, the fast ones of a phone */
    const char *device;    /* NULL: "cpu". Never another device than the one that is named */
    int32_t unproven;      /* ifrnet_unproven */
    int32_t precision;     /* ifrnet_precision */
    const char *cache;     /* folder for verdicts where the artifact's cannot be written, and for compiled shaders;
                              NULL: $IFRNET_CACHE or ~/.cache/ifrnet; "": keep nothing */
} ifrnet_options;

/* Open an artifact. Its files are read once, held against the manifest's sha256, and loaded from what was checked.
 * `options` may be NULL. *runtime is NULL unless IFRNET_OK. */
IFRNET_API ifrnet_status ifrnet_open(const char *folder, const ifrnet_options *options, ifrnet_runtime **runtime);

typedef struct ifrnet_file {
    const char *name; /* "manifest.json", "model.param", "model.bin", "proof.dat" */
    const void *data;
    size_t bytes;
} ifrnet_file;

/* The same from memory, for assets of an app: every file that the manifest lists, and the manifest. The bytes are copied. */
IFRNET_API ifrnet_status ifrnet_open_memory(const ifrnet_file *files, size_t count, const ifrnet_options *options,
                                            ifrnet_runtime **runtime);

typedef struct ifrnet_info {
    uint32_t size;
    int32_t width, height;   /* of the frames, in pixels */
    int32_t any_timestep;    /* 1: 0 < t < 1; 0: t = 0.5 only */
    int32_t proven;          /* 1: it passed its proof here; -1: it failed; 0: neither holds here */
    int32_t threads;
    char name[128];          /* of the artifact */
    char device[32];
    char precision[16];      /* what it was exported as */
    char arithmetic[32];     /* what the convolutions run in here, which may be wider */
    char reason[256];        /* why it is not proven, or failed; "" when it is, or why its verdict could not be kept */
    char identity[65];       /* sha256 of all that says what is computed */
    char machine[768];       /* JSON: what a verdict won here would be believed on */
} ifrnet_info;

IFRNET_API ifrnet_status ifrnet_describe(ifrnet_runtime *runtime, ifrnet_info *info);

/* ---- frames ---------------------------------------------------------------------------------------------------- */

typedef enum ifrnet_layout {
    IFRNET_RGB = 0,  /* 3 bytes a pixel */
    IFRNET_BGR = 1,
    IFRNET_RGBA = 2, /* 4 bytes; alpha is not read, and written as 255 */
    IFRNET_BGRA = 3,
    IFRNET_NV12 = 4, /* planes Y, then U and V side by side at half size, rounded up */
    IFRNET_NV21 = 5, /* the same with V before U */
    IFRNET_I420 = 6, /* planes Y, U, V */
    IFRNET_P010 = 7  /* as NV12 in 16 bits, little endian, the value in the upper ten */
} ifrnet_layout;

/* BT.2020 is the one with non-constant luminance. */
typedef enum ifrnet_matrix { IFRNET_BT709 = 0, IFRNET_BT601 = 1, IFRNET_BT2020 = 2 } ifrnet_matrix;
typedef enum ifrnet_range { IFRNET_LIMITED = 0, IFRNET_FULL = 1 } ifrnet_range;
/* Where the samples of U and V lie. */
typedef enum ifrnet_chroma { IFRNET_LEFT = 0, IFRNET_CENTER = 1, IFRNET_TOPLEFT = 2 } ifrnet_chroma;

typedef struct ifrnet_image {
    uint32_t size;
    int32_t layout;         /* ifrnet_layout */
    int32_t width, height;  /* in pixels */
    void *plane[3];         /* first (upper) row of each plane; the network does not change the planes of its inputs */
    ptrdiff_t stride[3];    /* bytes from a row to the one below; negative where rows lie upside down in memory */
    size_t bytes[3];        /* of each plane's memory, whichever way its rows go; rows that would leave it are refused */
    int32_t matrix;         /* ifrnet_matrix; this and the next two are of the YUV layouts */
    int32_t range;          /* ifrnet_range */
    int32_t chroma;         /* ifrnet_chroma */
} ifrnet_image;

/* The frames at `count` time steps between two. The pair is encoded once, but on Vulkan in half precision.
 *
 * outputs: `count` images with memory of the caller's; their layouts may differ from the inputs'. They are written whole,
 * one after the other: after IFRNET_CANCELLED or a failure those already written stay. No output's memory may overlap
 * with an input's or another output's; two halves of one picture do not. Values are rounded:
 * round(255 * min(max(x, 0), 1)). */
IFRNET_API ifrnet_status ifrnet_interpolate(ifrnet_runtime *runtime, const ifrnet_image *img0, const ifrnet_image *img1,
                                            const float *t, size_t count, const ifrnet_image *outputs);

/* The same on tensors: img0 and img1 float32 (3, height, width), RGB in [0, 1]; output float32 (count, 3, height, width),
 * whose length in values is `output_values`. */
IFRNET_API ifrnet_status ifrnet_infer(ifrnet_runtime *runtime, const float *img0, const float *img1, const float *t,
                                      size_t count, float *output, size_t output_values);

/* Make the call that runs on this runtime now, if one does, return IFRNET_CANCELLED soon. From any thread. */
IFRNET_API ifrnet_status ifrnet_cancel(ifrnet_runtime *runtime);

/* ---- the proof ------------------------------------------------------------------------------------------------- */

typedef struct ifrnet_comparison {
    uint32_t size;
    int32_t width, height;
    int32_t together;    /* 1: asked for with other time steps of its pair */
    float t;
    double max_error;    /* see docs/proof.md; infinity where an output is not finite */
    double psnr;
    double block_error;
    char trouble[256];   /* which limits it breaks; "" when it keeps them */
} ifrnet_comparison;

/* Run the artifact's own proof and keep the outcome as verdicts.json beside it, or in the cache; ifrnet_open and the Python
 * runtime believe it from then on. IFRNET_PARITY when it failed. An outcome that can be kept nowhere holds for this
 * runtime alone; ifrnet_info.reason says so, and after IFRNET_PARITY ifrnet_error() too.
 *
 * comparisons: may be NULL; *count: how many it holds, then how many there were. The first one's `size` stands for all. */
IFRNET_API ifrnet_status ifrnet_verify(ifrnet_runtime *runtime, ifrnet_comparison *comparisons, size_t *count);

/* Release a runtime. A call that is running finishes first. NULL is fine; closing twice is IFRNET_ARGUMENT. */
IFRNET_API ifrnet_status ifrnet_close(ifrnet_runtime *runtime);

#ifdef __cplusplus
}
#endif
#endif
