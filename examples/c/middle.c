/* The frame between two binary PPM pictures.
 *
 *     cc middle.c $(pkg-config --cflags --libs ifrnet) -o middle && ./middle ARTIFACT a.ppm b.ppm middle.ppm
 */
#include <stdio.h>
#include <stdlib.h>

#include <ifrnet.h>

static ifrnet_image new_image(int width, int height) {
    ifrnet_image image = {.size = sizeof image, .layout = IFRNET_RGB, .width = width, .height = height};
    image.stride[0] = 3 * (ptrdiff_t)width;
    image.bytes[0] = 3 * (size_t)width * (size_t)height;
    image.plane[0] = malloc(image.bytes[0]);
    return image;
}

static int read_ppm(const char *path, const ifrnet_image *image) {
    FILE *file = fopen(path, "rb");
    int width, height, most;
    if (!file || fscanf(file, "P6 %d %d %d", &width, &height, &most) != 3 || fgetc(file) == EOF) return 0;
    if (width != image->width || height != image->height || most != 255) return 0;
    return fread(image->plane[0], 1, image->bytes[0], file) == image->bytes[0] && fclose(file) == 0;
}

static int write_ppm(const char *path, const ifrnet_image *image) {
    FILE *file = fopen(path, "wb");
    if (!file || fprintf(file, "P6\n%d %d\n255\n", image->width, image->height) < 0) return 0;
    return fwrite(image->plane[0], 1, image->bytes[0], file) == image->bytes[0] && fclose(file) == 0;
}

static int failed(const char *why) {
    fprintf(stderr, "middle: %s\n", why);
    return 1;
}

int main(int count, char **arguments) {
    ifrnet_options options = {.size = sizeof options, .unproven = IFRNET_PROVE};
    ifrnet_info info = {.size = sizeof info};
    ifrnet_runtime *runtime;
    const float t = 0.5f;
    if (count != 5) return failed("usage: middle ARTIFACT a.ppm b.ppm middle.ppm");
    if (ifrnet_open(arguments[1], &options, &runtime) != IFRNET_OK) return failed(ifrnet_error());
    if (ifrnet_describe(runtime, &info) != IFRNET_OK) return failed(ifrnet_error());
    ifrnet_image img0 = new_image(info.width, info.height), img1 = new_image(info.width, info.height);
    ifrnet_image middle = new_image(info.width, info.height);
    if (!img0.plane[0] || !img1.plane[0] || !middle.plane[0]) return failed("no memory for three pictures");
    if (!read_ppm(arguments[2], &img0) || !read_ppm(arguments[3], &img1))
        return failed("expected two PPM pictures (P6, 8 bits) of the artifact's size");
    if (ifrnet_interpolate(runtime, &img0, &img1, &t, 1, &middle) != IFRNET_OK) return failed(ifrnet_error());
    if (!write_ppm(arguments[4], &middle)) return failed("the output cannot be written");
    free(img0.plane[0]), free(img1.plane[0]), free(middle.plane[0]);
    return ifrnet_close(runtime) == IFRNET_OK ? 0 : failed(ifrnet_error());
}
