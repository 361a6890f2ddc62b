// RGB of 8 bits, in either order, with and without alpha. The arithmetic is that of runtimes/frames.py.
#include "frames_parts.h"

namespace ifrnet {

namespace {

constexpr float PEAK = 255.0f;
// A product with it, not a quotient: the Python runtime's values to the last bit.
constexpr float SCALE = static_cast<float>(1.0 / 255.0);

// Where the channels lie in a pixel.
template <int Step_, int Red_, int Blue_> struct Order {
    static constexpr int Step = Step_, Red = Red_, Blue = Blue_;
};

constexpr int TILE = 256; // pixels done at once

template <class Pixel>
void read_row(const uint8_t *__restrict from, float *__restrict red, float *__restrict green, float *__restrict blue,
              int width) {
    for (int x = 0; x < width; x++) {
        red[x] = static_cast<float>(from[Pixel::Step * x + Pixel::Red]) * SCALE;
        green[x] = static_cast<float>(from[Pixel::Step * x + 1]) * SCALE;
        blue[x] = static_cast<float>(from[Pixel::Step * x + Pixel::Blue]) * SCALE;
    }
}

// Products before the sum that rounds, in loops of their own: no compiler makes one rounding of the two.
void levels(const float *__restrict from, float *__restrict to, int count) {
    clamp_row(from, to, count);
    for (int x = 0; x < count; x++) to[x] *= PEAK;
}

template <class Pixel>
void write_tile(const float *red, const float *green, const float *blue, uint8_t *__restrict to, int count) {
    float r[TILE], g[TILE], b[TILE];
    levels(red, r, count);
    levels(green, g, count);
    levels(blue, b, count);
    for (int x = 0; x < count; x++) {
        to[Pixel::Step * x + Pixel::Red] = static_cast<uint8_t>(rounded(r[x]));
        to[Pixel::Step * x + 1] = static_cast<uint8_t>(rounded(g[x]));
        to[Pixel::Step * x + Pixel::Blue] = static_cast<uint8_t>(rounded(b[x]));
        if (Pixel::Step == 4) to[Pixel::Step * x + 3] = 255;
    }
}

template <class Pixel>
void write_row(const float *red, const float *green, const float *blue, uint8_t *to, int width) {
    for (int x = 0; x < width; x += TILE) {
        const int count = width - x < TILE ? width - x : TILE;
        write_tile<Pixel>(red + x, green + x, blue + x, to + static_cast<ptrdiff_t>(Pixel::Step) * x, count);
    }
}

template <class Pixel> void read_all(const ifrnet_image &image, const Planes<float> &planes) {
    for_rows(image.height, int64_t{image.width} * image.height, planes.threads, [&](int y) {
        read_row<Pixel>(row_of(image, 0, y), planes.row(0, y), planes.row(1, y), planes.row(2, y), image.width);
    });
}

template <class Pixel> void write_all(const Planes<const float> &planes, const ifrnet_image &image) {
    for_rows(image.height, int64_t{image.width} * image.height, planes.threads, [&](int y) {
        write_row<Pixel>(planes.row(0, y), planes.row(1, y), planes.row(2, y), row_of(image, 0, y), image.width);
    });
}

using Rgb = Order<3, 0, 2>;
using Bgr = Order<3, 2, 0>;
using Rgba = Order<4, 0, 2>;
using Bgra = Order<4, 2, 0>;

}  // namespace

void read_rgb(const ifrnet_image &image, const Planes<float> &planes) {
    const auto read = image.layout == IFRNET_RGB    ? read_all<Rgb>
                      : image.layout == IFRNET_BGR  ? read_all<Bgr>
                      : image.layout == IFRNET_RGBA ? read_all<Rgba>
                                                    : read_all<Bgra>;
    read(image, planes);
}

void write_rgb(const Planes<const float> &planes, const ifrnet_image &image) {
    const auto write = image.layout == IFRNET_RGB    ? write_all<Rgb>
                       : image.layout == IFRNET_BGR  ? write_all<Bgr>
                       : image.layout == IFRNET_RGBA ? write_all<Rgba>
                                                     : write_all<Bgra>;
    write(planes, image);
}

}  // namespace ifrnet
