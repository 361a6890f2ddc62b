// YUV with chroma at half size: ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance), codes as in ITU-T H.273.
#include <utility>

#include "frames_parts.h"

namespace ifrnet {

namespace {

constexpr int TILE = 128; // samples of chroma done at once: their floats stay in the processor's nearest cache

struct Matrix {
    float red, green, blue; // of luma

    explicit Matrix(int32_t matrix)
        : red(matrix == IFRNET_BT601 ? 0.299f : matrix == IFRNET_BT709 ? 0.2126f : 0.2627f), green(0.0f),
          blue(matrix == IFRNET_BT601 ? 0.114f : matrix == IFRNET_BT709 ? 0.0722f : 0.0593f) {
        green = 1.0f - red - blue;
    }
};

// code = low + span * Y, and middle + chroma_span * U (U and V in [-0.5, 0.5]).
struct Codes {
    float low, span, middle, chroma_span, peak;

    Codes(int32_t range, int bits) {
        const auto unit = static_cast<float>(1 << (bits - 8));
        const bool full = range == IFRNET_FULL;
        peak = static_cast<float>((1 << bits) - 1);
        low = full ? 0.0f : 16.0f * unit;
        span = full ? peak : 219.0f * unit;
        middle = 128.0f * unit;
        chroma_span = full ? peak : 224.0f * unit;
    }
};

// Where chroma lies along one axis. `Beside`: on every second sample of luma; else between two.
// Up: value(2k) = before * c[k - 1] + (1 - before) * c[k], and value(2k + 1) = (1 - after) * c[k] + after * c[k + 1].
// Down: c[k] = left * value(2k - 1) + value(2k) / 2 + right * value(2k + 1).
struct Siting {
    float before, after, left, right;

    static Siting beside() { return {0.0f, 0.5f, 0.25f, 0.25f}; }
    static Siting between() { return {0.25f, 0.25f, 0.0f, 0.5f}; }
    static Siting across(int32_t chroma) { return chroma == IFRNET_CENTER ? between() : beside(); }
    static Siting down(int32_t chroma) { return chroma == IFRNET_TOPLEFT ? beside() : between(); }
};

struct Eight {
    static constexpr int BITS = 8, BYTES = 1;
    static float load(const uint8_t *row, int i) { return static_cast<float>(row[i]); }
    static void store(uint8_t *row, int i, int code) { row[i] = static_cast<uint8_t>(code); }
};

// The upper ten of 16 bits, the lower byte first. Planes may begin at any address.
struct Ten {
    static constexpr int BITS = 10, BYTES = 2;
    static float load(const uint8_t *row, int i) {
        return static_cast<float>((row[2 * i] | row[2 * i + 1] << 8) >> 6);
    }
    static void store(uint8_t *row, int i, int code) {
        row[2 * i] = static_cast<uint8_t>(code << 6);
        row[2 * i + 1] = static_cast<uint8_t>(code >> 2);
    }
};

int half(int side) { return side / 2 + side % 2; }

int held(int index, int count) { return index < 0 ? 0 : index < count ? index : count - 1; }

// Row `row` of U and of V; their samples are Step apart.
struct ChromaRow {
    uint8_t *u, *v;

    ChromaRow(const ifrnet_image &image, int row, int bytes) : u(row_of(image, 1, row)), v(nullptr) {
        if (image.layout == IFRNET_I420) {
            v = row_of(image, 2, row);
        } else {
            v = u + bytes;
        }
        if (image.layout == IFRNET_NV21) std::swap(u, v);
    }
};

// Two rows of one chroma plane and what each counts.
struct Blend {
    const uint8_t *a, *b;
    float weight_a, weight_b;
};

// Samples begin - 1 to begin + count of the blend -> 2 * count values at the width of luma, relative to the middle.
template <class Sample, int Step>
void widen(const Blend &rows, const Siting &siting, float middle, int begin, int count, int columns,
           float *__restrict wide) {
    float narrow[TILE + 2];
    const auto at = [&](int i) {
        return rows.weight_a * Sample::load(rows.a, Step * i) + rows.weight_b * Sample::load(rows.b, Step * i) - middle;
    };
    for (int i = 0; i < count; i++) narrow[i + 1] = at(begin + i);
    narrow[0] = at(held(begin - 1, columns));
    narrow[count + 1] = at(held(begin + count, columns));
    const float before = siting.before, after = siting.after;
    for (int i = 0; i < count; i++) {
        wide[2 * i] = before * narrow[i] + (1.0f - before) * narrow[i + 1];
        wide[2 * i + 1] = (1.0f - after) * narrow[i + 1] + after * narrow[i + 2];
    }
}

struct Reader {
    const ifrnet_image &image;
    const Planes<float> &planes;
    Codes codes;
    Siting across, down;
    int columns, rows; // of chroma
    float red_v, green_u, green_v, blue_u;

    Reader(const ifrnet_image &from, const Planes<float> &to, int bits)
        : image(from), planes(to), codes(from.range, bits), across(Siting::across(from.chroma)),
          down(Siting::down(from.chroma)), columns(half(from.width)), rows(half(from.height)) {
        const Matrix matrix(image.matrix);
        red_v = 2.0f * (1.0f - matrix.red) / codes.chroma_span;
        blue_u = 2.0f * (1.0f - matrix.blue) / codes.chroma_span;
        green_u = -blue_u * matrix.blue / matrix.green;
        green_v = -red_v * matrix.red / matrix.green;
    }

    template <class Sample>
    void mix(const float *__restrict u, const float *__restrict v, int y, int begin, int count) const {
        const uint8_t *__restrict luma = row_of(image, 0, y) + static_cast<ptrdiff_t>(begin) * Sample::BYTES;
        float *__restrict red = planes.row(0, y) + begin;
        float *__restrict green = planes.row(1, y) + begin;
        float *__restrict blue = planes.row(2, y) + begin;
        const float low = codes.low, scale = 1.0f / codes.span;
        const float rv = red_v, gu = green_u, gv = green_v, bu = blue_u;
        for (int x = 0; x < count; x++) {
            const float grey = (Sample::load(luma, x) - low) * scale;
            red[x] = clamped(grey + rv * v[x], 1.0f);
            green[x] = clamped(grey + gu * u[x] + gv * v[x], 1.0f);
            blue[x] = clamped(grey + bu * u[x], 1.0f);
        }
    }

    template <class Sample, int Step> void row(int y) const {
        const int k = y / 2;
        const bool odd = y % 2 != 0;
        const float other = odd ? down.after : down.before;
        const ChromaRow near(image, k, Sample::BYTES), far(image, held(odd ? k + 1 : k - 1, rows), Sample::BYTES);
        const Blend u{near.u, far.u, 1.0f - other, other}, v{near.v, far.v, 1.0f - other, other};
        float wide_u[2 * TILE], wide_v[2 * TILE];
        for (int begin = 0; begin < columns; begin += TILE) {
            const int count = columns - begin < TILE ? columns - begin : TILE;
            widen<Sample, Step>(u, across, codes.middle, begin, count, columns, wide_u);
            widen<Sample, Step>(v, across, codes.middle, begin, count, columns, wide_v);
            const int left = image.width - 2 * begin;
            mix<Sample>(wide_u, wide_v, y, 2 * begin, left < 2 * TILE ? left : 2 * TILE);
        }
    }
};

// A stretch of one row, from the right neighbour of the sample of chroma before it: its colours in [0, 1] and its grey.
struct Stretch {
    float red[2 * TILE + 1], green[2 * TILE + 1], blue[2 * TILE + 1], grey[2 * TILE + 1];

    // Index `at` of the stretch is x = `from` of row y.
    void take(const Planes<const float> &planes, const Matrix &matrix, int y, int from, int at, int count) {
        clamp_row(planes.row(0, y) + from, red + at, count);
        clamp_row(planes.row(1, y) + from, green + at, count);
        clamp_row(planes.row(2, y) + from, blue + at, count);
        const float kr = matrix.red, kg = matrix.green, kb = matrix.blue;
        for (int i = at; i < at + count; i++) grey[i] = kr * red[i] + kg * green[i] + kb * blue[i];
    }
};

struct Writer {
    const Planes<const float> &planes;
    const ifrnet_image &image;
    Matrix matrix;
    Codes codes;
    Siting across, down;
    int columns, rows; // of chroma

    Writer(const Planes<const float> &from, const ifrnet_image &to, int bits)
        : planes(from), image(to), matrix(to.matrix), codes(to.range, bits), across(Siting::across(to.chroma)),
          down(Siting::down(to.chroma)), columns(half(to.width)), rows(half(to.height)) {}

    // grey is in [0, 1], so that its code is between 0 and the peak.
    template <class Sample> void luma(const float *__restrict grey, int y, int begin, int count) const {
        uint8_t *__restrict to = row_of(image, 0, y) + static_cast<ptrdiff_t>(begin) * Sample::BYTES;
        const float low = codes.low, span = codes.span;
        for (int x = 0; x < count; x++) Sample::store(to, x, rounded(low + span * grey[x]));
    }

    // Adds weight times U and V.
    void add(const Stretch &row, float weight, int at, int count, float *__restrict u, float *__restrict v) const {
        const float scale_u = 0.5f * weight / (1.0f - matrix.blue), scale_v = 0.5f * weight / (1.0f - matrix.red);
        for (int i = at; i < at + count; i++) {
            u[i] += scale_u * (row.blue[i] - row.grey[i]);
            v[i] += scale_v * (row.red[i] - row.grey[i]);
        }
    }

    // The largest code of the full range would be half a step above the peak.
    template <class Sample, int Step>
    void narrow(const float *__restrict wide, uint8_t *__restrict to, int count) const {
        const float left = across.left, right = across.right;
        const float span = codes.chroma_span, middle = codes.middle;
        const int peak = static_cast<int>(codes.peak);
        for (int i = 0; i < count; i++) {
            const float value = left * wide[2 * i] + 0.5f * wide[2 * i + 1] + right * wide[2 * i + 2];
            const int code = rounded(middle + span * value);
            Sample::store(to, Step * i, code < peak ? code : peak);
        }
    }

    // Samples begin to begin + count of row k of chroma, and the luma that they lie in.
    template <class Sample, int Step> void tile(int k, int begin, int count) const {
        float u[2 * TILE + 1] = {}, v[2 * TILE + 1] = {}; // [i]: at x = first + i, the border repeated
        const int first = 2 * begin - 1, from = first < 0 ? 0 : first, at = from - first;
        const int end = first + 2 * count + 1 < image.width ? first + 2 * count + 1 : image.width;
        const float weights[3] = {down.left, 0.5f, down.right};
        Stretch stretch;
        for (int i = 0; i < 3; i++) {
            if (weights[i] == 0.0f) continue;
            const int y = 2 * k - 1 + i;
            stretch.take(planes, matrix, held(y, image.height), from, at, end - from);
            add(stretch, weights[i], at, end - from, u, v);
            if (i > 0 && y < image.height) luma<Sample>(stretch.grey + 1, y, 2 * begin, end - 2 * begin);
        }
        if (at > 0) u[0] = u[1], v[0] = v[1];
        const int known = end - first;
        if (known < 2 * count + 1) u[known] = u[known - 1], v[known] = v[known - 1];
        const ChromaRow to(image, k, Sample::BYTES);
        const ptrdiff_t offset = static_cast<ptrdiff_t>(begin) * Step * Sample::BYTES;
        narrow<Sample, Step>(u, to.u + offset, count);
        narrow<Sample, Step>(v, to.v + offset, count);
    }

    template <class Sample, int Step> void row(int k) const {
        for (int begin = 0; begin < columns; begin += TILE) {
            tile<Sample, Step>(k, begin, columns - begin < TILE ? columns - begin : TILE);
        }
    }
};

template <class Sample, int Step> void read_all(const ifrnet_image &image, const Planes<float> &planes) {
    const Reader reader(image, planes, Sample::BITS);
    for_rows(image.height, int64_t{image.width} * image.height, planes.threads,
             [&](int y) { reader.row<Sample, Step>(y); });
}

template <class Sample, int Step> void write_all(const Planes<const float> &planes, const ifrnet_image &image) {
    const Writer writer(planes, image, Sample::BITS);
    for_rows(writer.rows, int64_t{image.width} * image.height, planes.threads,
             [&](int k) { writer.row<Sample, Step>(k); });
}

}  // namespace

void read_yuv(const ifrnet_image &image, const Planes<float> &planes) {
    const auto read = image.layout == IFRNET_P010   ? read_all<Ten, 2>
                      : image.layout == IFRNET_I420 ? read_all<Eight, 1>
                                                    : read_all<Eight, 2>;
    read(image, planes);
}

void write_yuv(const Planes<const float> &planes, const ifrnet_image &image) {
    const auto write = image.layout == IFRNET_P010   ? write_all<Ten, 2>
                       : image.layout == IFRNET_I420 ? write_all<Eight, 1>
                                                     : write_all<Eight, 2>;
    write(planes, image);
}

}  // namespace ifrnet
