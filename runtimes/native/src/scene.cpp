#include "scene.h"

#include <algorithm>
#include <stdexcept>

namespace ifrnet {

namespace {

constexpr int MAX_SIDE = 16384, MAX_WAVES = 64, MAX_WEIGHT = 1 << 15;
constexpr int GRID = 16; // positions of the disc and the bar are whole numbers of 1/16 px
constexpr int32_t COLOURS[2][3] = {{235, 77, 31}, {26, 140, 242}};

int64_t whole(const Json &value, int64_t low, int64_t high) { return value.as_whole(low, high); }

const std::vector<Json> &numbers(const Json &row, size_t count) {
    const std::vector<Json> &found = row.as_list();
    if (found.size() != count)
        throw std::invalid_argument(std::to_string(found.size()) + " numbers stand where " + std::to_string(count) +
                                    " are expected");
    return found;
}

Wave read_wave(const Json &row) {
    const std::vector<Json> &found = numbers(row, 6);
    Wave wave{};
    wave.x = uint32_t(whole(found[0], 0, UINT32_MAX));
    wave.y = uint32_t(whole(found[1], 0, UINT32_MAX));
    wave.phase = uint32_t(whole(found[2], 0, UINT32_MAX));
    for (size_t c = 0; c < 3; c++) wave.weights[c] = int32_t(whole(found[3 + c], -MAX_WEIGHT, MAX_WEIGHT));
    return wave;
}

Placement read_placement(const Json &row) {
    int32_t found[5];
    for (size_t i = 0; i < 5; i++) found[i] = int32_t(whole(numbers(row, 5)[i], -(1 << 23), 1 << 23));
    return {found[0], found[1], found[2], found[3], found[4]};
}

// Two parabolas for a sine: a cycle of 2^32 -> whole numbers from -32768 to 32768.
double wave_at(uint32_t phase) {
    int32_t p = int32_t(phase >> 16), q = p & 32767;
    int32_t height = int32_t((int64_t(q) * (32768 - q)) >> 13);
    return p & 32768 ? -height : height;
}

// The background's sum over waves of weight * (cos cos - sin sin) is one of products of a value per column and one per
// row. All of it is whole numbers below 2^53, so double holds them exactly, and vectors of every processor add them up.
struct Columns {
    size_t width, count;        // count: two a wave, filled up to a multiple of four
    std::vector<double> values; // (count, width)

    const double *row(size_t i) const { return values.data() + i * width; }
};

Columns columns_of(const Scene &scene, const Placement &place) {
    size_t width = size_t(scene.size.width), count = (2 * scene.waves.size() + 3) / 4 * 4;
    Columns columns{width, count, std::vector<double>(count * width)};
    for (size_t i = 0; i < scene.waves.size(); i++)
        for (size_t x = 0; x < width; x++) {
            uint32_t a = scene.waves[i].x * (256u * uint32_t(x) + uint32_t(place.shift_x));
            columns.values[2 * i * width + x] = wave_at(a + (1u << 30));
            columns.values[(2 * i + 1) * width + x] = wave_at(a);
        }
    return columns;
}

// Weights of the columns' values in one row of pixels, (3, count).
void row_weights(const Scene &scene, const Placement &place, uint32_t y, size_t count, double *weights) {
    for (size_t i = 0; i < scene.waves.size(); i++) {
        const Wave &wave = scene.waves[i];
        uint32_t b = wave.y * (256u * y + uint32_t(place.shift_y)) + wave.phase;
        double along = wave_at(b + (1u << 30)), across = -wave_at(b);
        for (size_t c = 0; c < 3; c++) {
            weights[c * count + 2 * i] = wave.weights[c] * along;
            weights[c * count + 2 * i + 1] = wave.weights[c] * across;
        }
    }
}

// sums[x] = sum of weights[i] * columns[i][x]
void add_up(const Columns &columns, const double *weights, double *sums) {
    std::fill(sums, sums + columns.width, 0.0);
    for (size_t i = 0; i < columns.count; i += 4) {
        const double *c0 = columns.row(i), *c1 = columns.row(i + 1), *c2 = columns.row(i + 2), *c3 = columns.row(i + 3);
        const double w0 = weights[i], w1 = weights[i + 1], w2 = weights[i + 2], w3 = weights[i + 3];
        for (size_t x = 0; x < columns.width; x++) sums[x] += w0 * c0[x] + w1 * c1[x] + w2 * c2[x] + w3 * c3[x];
    }
}

int32_t mix(int32_t level, int32_t colour, int32_t coverage) {
    return level + (((256 * colour - level) * coverage) >> 8);
}

// (r^2 - d^2) 8 / r is the distance to the disc's edge in 1/256 px, near the edge.
void cover_disc(const Scene &scene, const Placement &place, int y, std::vector<int32_t> &coverage) {
    int64_t radius = scene.radius, dy = GRID * int64_t(y) - place.disc_y;
    int64_t room = radius * radius - dy * dy;
    for (int64_t x = 0; x < int64_t(coverage.size()); x++) {
        int64_t dx = GRID * x - place.disc_x, inside = room - dx * dx;
        coverage[size_t(x)] = inside <= 0 ? 0 : int32_t(std::min<int64_t>(inside * 8 / radius, 256));
    }
}

std::vector<int32_t> cover_bar(const Scene &scene, const Placement &place) {
    std::vector<int32_t> coverage(size_t(scene.size.width));
    for (int64_t x = 0; x < scene.size.width; x++) {
        int64_t distance = std::abs(GRID * x - place.bar);
        coverage[size_t(x)] = int32_t(std::clamp<int64_t>((scene.half_width - distance) * 16, 0, 256));
    }
    return coverage;
}

}  // namespace

Scene read_scene(const Json &data) {
    Scene scene;
    scene.size.width = int(whole(data.at("width"), 1, MAX_SIDE));
    scene.size.height = int(whole(data.at("height"), 1, MAX_SIDE));
    for (const Json &row : data.at("waves").as_list()) scene.waves.push_back(read_wave(row));
    if (scene.waves.empty() || scene.waves.size() > MAX_WAVES)
        throw std::invalid_argument("a scene of " + std::to_string(scene.waves.size()) + " waves; expected 1 to 64");
    const std::vector<Json> &frames = data.at("frames").as_list();
    if (frames.size() != 2)
        throw std::invalid_argument("a scene of " + std::to_string(frames.size()) + " frames; expected 2");
    for (size_t i = 0; i < 2; i++) scene.frames[i] = read_placement(frames[i]);
    scene.radius = int32_t(whole(data.at("radius"), 1, 1 << 18));
    scene.half_width = int32_t(whole(data.at("half_width"), 1, 1 << 18));
    return scene;
}

Bytes render(const Scene &scene, const Placement &place) {
    const size_t width = size_t(scene.size.width), height = size_t(scene.size.height);
    const Columns columns = columns_of(scene, place);
    const std::vector<int32_t> bar = cover_bar(scene, place);
    std::vector<int32_t> disc(width);
    std::vector<double> weights(3 * columns.count), sums(width);
    Bytes frame(3 * width * height);
    for (size_t y = 0; y < height; y++) {
        row_weights(scene, place, uint32_t(y), columns.count, weights.data());
        cover_disc(scene, place, int(y), disc);
        for (size_t c = 0; c < 3; c++) {
            add_up(columns, weights.data() + c * columns.count, sums.data());
            uint8_t *out = frame.data() + 3 * width * y + c;
            for (size_t x = 0; x < width; x++) {
                int32_t level = 32768 + int32_t(int64_t(sums[x]) >> 30);
                level = mix(mix(level, COLOURS[0][c], disc[x]), COLOURS[1][c], bar[x]);
                out[3 * x] = uint8_t(std::clamp((level + 128) >> 8, 0, 255));
            }
        }
    }
    return frame;
}

}  // namespace ifrnet
