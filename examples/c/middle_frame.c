/* The frame in the middle of two, through the C ABI: middle_frame ARTIFACT A.ppm B.ppm OUT.ppm (PPM: P6 of 8 bits) */
#include <ifrnet.h>
#include <stdio.h>
#include <stdlib.h>

static void stop(const char *what, const char *why) {
    fprintf(stderr, "middle_frame: %s: %s\n", what, why);
    exit(1);
}

/* An image of the artifact's size, with memory for its pixels. */
static ifrnet_image image_of(const ifrnet_info *info) {
    ifrnet_image image = {.size = sizeof image, .layout = IFRNET_RGB, .width = info->width, .height = info->height};
    image.stride[0] = (ptrdiff_t)3 * info->width;
    image.bytes[0] = (size_t)image.stride[0] * (size_t)info->height;
    image.plane[0] = malloc(image.bytes[0]);
    if (!image.plane[0]) stop("pixels", "out of memory");
    return image;
}

static ifrnet_image read_ppm(const char *path, const ifrnet_info *info) {
    ifrnet_image image = image_of(info);
    int width, height, peak;
    FILE *file = fopen(path, "rb");
    if (!file || fscanf(file, "P6 %d %d %d", &width, &height, &peak) != 3 || peak != 255 || fgetc(file) == EOF)
        stop(path, "is not there, or no P6 of 8 bits");
    if (width != info->width || height != info->height) stop(path, "has another size than the artifact takes");
    if (fread(image.plane[0], 1, image.bytes[0], file) != image.bytes[0]) stop(path, "is cut short");
    fclose(file);
    return image;
}

int main(int count, char **values) {
    if (count != 5) stop("usage", "middle_frame ARTIFACT A.ppm B.ppm OUT.ppm");
    ifrnet_options options = {.size = sizeof options, .unproven = IFRNET_PROVE}; /* the first time: prove it here */
    ifrnet_info info = {.size = sizeof info};
    ifrnet_runtime *runtime;
    if (ifrnet_open(values[1], &options, &runtime) || ifrnet_describe(runtime, &info)) stop(values[1], ifrnet_error());
    ifrnet_image img0 = read_ppm(values[2], &info), img1 = read_ppm(values[3], &info), middle = image_of(&info);
    const float t = 0.5f;
    if (ifrnet_interpolate(runtime, &img0, &img1, &t, 1, &middle)) stop("interpolate", ifrnet_error());
    FILE *file = fopen(values[4], "wb");
    if (!file || fprintf(file, "P6\n%d %d\n255\n", info.width, info.height) < 0 ||
        fwrite(middle.plane[0], 1, middle.bytes[0], file) != middle.bytes[0] || fclose(file))
        stop(values[4], "cannot be written");
    ifrnet_close(runtime);
    return 0; /* the system takes the memory back */
}
