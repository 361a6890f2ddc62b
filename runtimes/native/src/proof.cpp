#include "proof.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "decimal.h"
#include "error.h"
#include "sha256.h"

namespace ifrnet {

namespace {

constexpr size_t HEAD = 16, MAX_BYTES = 1 << 20;
constexpr int PATCH = 4, BLOCK = 32, MAX_BLOCKS = 8192, MAX_CASES = 4, MAX_STEPS = 8;
constexpr size_t PATCH_VALUES = PATCH * PATCH * 3;

uint32_t little_endian(const uint8_t *at) {
    return uint32_t(at[0]) | uint32_t(at[1]) << 8 | uint32_t(at[2]) << 16 | uint32_t(at[3]) << 24;
}

// Takes arrays off the rest of a file; never more than there is.
class Reader {
public:
    Reader(const Bytes &data, size_t start) : data_(data), at_(start) {}

    std::vector<uint16_t> shorts(size_t count) {
        const uint8_t *from = take(count, 2);
        std::vector<uint16_t> found(count);
        for (size_t i = 0; i < count; i++) found[i] = uint16_t(from[2 * i] | from[2 * i + 1] << 8);
        return found;
    }

    std::vector<float> floats(size_t count) {
        const uint8_t *from = take(count, 4);
        std::vector<float> found(count);
        for (size_t i = 0; i < count; i++) {
            uint32_t bits = little_endian(from + 4 * i);
            std::memcpy(&found[i], &bits, 4);
            if (!std::isfinite(found[i])) throw std::invalid_argument("a value is not finite");
        }
        return found;
    }

    void finish() const {
        if (at_ != data_.size())
            throw std::invalid_argument(std::to_string(data_.size() - at_) + " bytes follow the last array");
    }

private:
    const uint8_t *take(size_t count, size_t each) {
        if (count > (data_.size() - at_) / each)
            throw std::invalid_argument("it ends at byte " + std::to_string(data_.size()) + ", " +
                                        std::to_string(at_ + count * each) + " are needed");
        const uint8_t *found = data_.data() + at_;
        at_ += count * each;
        return found;
    }

    const Bytes &data_;
    size_t at_;
};

int parts(int length, int side) { return (length + side - 1) / side; }

int block_side(Size size) {
    int side = BLOCK;
    while (parts(size.width, side) * parts(size.height, side) > MAX_BLOCKS) side *= 2;
    return side;
}

std::string text_of(Size size) { return std::to_string(size.width) + "x" + std::to_string(size.height); }

void check_corners(const Answer &answer, Size size) {
    for (size_t i = 0; i < answer.weights.size(); i++) {
        int x = answer.corners[2 * i], y = answer.corners[2 * i + 1];
        if (x >= size.width || y >= size.height || x % PATCH != 0 || y % PATCH != 0)
            throw std::invalid_argument("a patch lies beyond the frame or off the grid");
        if (answer.weights[i] <= 0.0f) throw std::invalid_argument("the weight of a patch is not positive");
    }
}

Answer read_answer(const Json &data, Reader &reader, Size size, int block) {
    size_t count = size_t(data.at("patches").as_whole(1, int64_t(MAX_BYTES / (4 * PATCH_VALUES))));
    Answer answer;
    answer.corners = reader.shorts(2 * count);
    answer.weights = reader.floats(count);
    answer.patches = reader.floats(count * PATCH_VALUES);
    answer.blocks = reader.floats(size_t(parts(size.height, block)) * size_t(parts(size.width, block)) * 3);
    check_corners(answer, size);
    const Json &limits = data.at("limits");
    answer.limits = {limits.at("max_error").as_number(), limits.at("psnr").as_number(),
                     limits.at("block_error").as_number()};
    answer.t = data.at("t").as_number();
    if (!(float(answer.t) > 0.0f && float(answer.t) < 1.0f)) throw std::invalid_argument("t = " + write_decimal(answer.t));
    return answer;
}

Case read_case(const Json &data, Reader &reader, Size frames) {
    Case found;
    found.scene = read_scene(data.at("scene"));
    if (!(found.scene.size == frames))
        throw std::invalid_argument("frames are " + text_of(found.scene.size) + ", the artifact takes " +
                                    text_of(frames));
    const std::vector<Json> &digests = data.at("frames_sha256").as_list(), &answers = data.at("answers").as_list();
    if (digests.size() != 2 || answers.empty() || answers.size() > MAX_STEPS)
        throw std::invalid_argument(std::to_string(digests.size()) + " frames and " + std::to_string(answers.size()) +
                                    " answers");
    for (size_t i = 0; i < 2; i++) found.frames_sha256[i] = digests[i].as_text();
    int side = block_side(frames);
    found.block = int(data.at("block").as_whole(side, side));
    for (const Json &answer : answers) found.answers.push_back(read_answer(answer, reader, frames, found.block));
    return found;
}

// The largest difference within the patches, and the weighted sum of squares; what lies beyond the frame is 0.
void compare_patches(const Answer &answer, Size size, const float *frame, Comparison &result) {
    const size_t width = size_t(size.width), height = size_t(size.height);
    double largest = 0.0, energy = 0.0;
    bool finite = true;
    const float *expected = answer.patches.data();
    for (size_t i = 0; i < answer.weights.size(); i++) {
        double squares = 0.0;
        for (size_t row = 0; row < PATCH; row++)
            for (size_t column = 0; column < PATCH; column++)
                for (size_t c = 0; c < 3; c++) {
                    size_t x = answer.corners[2 * i] + column, y = answer.corners[2 * i + 1] + row;
                    double value = x < width && y < height ? double(frame[(c * height + y) * width + x]) : 0.0;
                    double difference = std::fabs(value - double(*expected++));
                    finite = finite && std::isfinite(difference);
                    largest = std::max(largest, difference);
                    squares += difference * difference;
                }
        energy += double(answer.weights[i]) * squares;
    }
    energy /= 3.0 * double(height) * double(width);
    result.max_error = finite ? largest : INFINITY;
    result.psnr = energy == 0.0 ? INFINITY : std::isfinite(energy) ? -10.0 * std::log10(energy) : -INFINITY;
}

// The largest difference of the means of blocks; infinite where one is not finite.
double compare_blocks(const Answer &answer, int block, Size size, const float *frame) {
    const int rows = parts(size.height, block), columns = parts(size.width, block);
    double largest = 0.0;
    std::vector<double> sums(size_t(3 * columns));
    for (int row = 0; row < rows; row++) {
        std::fill(sums.begin(), sums.end(), 0.0);
        int top = row * block, bottom = std::min(top + block, size.height);
        for (int c = 0; c < 3; c++)
            for (int y = top; y < bottom; y++) {
                const float *line = frame + (size_t(c) * size_t(size.height) + size_t(y)) * size_t(size.width);
                for (int x = 0; x < size.width; x++) sums[size_t(3 * (x / block) + c)] += double(line[x]);
            }
        for (int column = 0; column < columns; column++) {
            double pixels = double(bottom - top) * std::min(block, size.width - column * block);
            for (int c = 0; c < 3; c++) {
                double mean = sums[size_t(3 * column + c)] / pixels;
                double difference = std::fabs(mean - double(answer.blocks[size_t(3 * (row * columns + column) + c)]));
                if (!std::isfinite(difference)) return INFINITY;
                largest = std::max(largest, difference);
            }
        }
    }
    return largest;
}

std::string trouble_of(const Comparison &found, const Limits &limits) {
    std::string text;
    auto say = [&](const std::string &part) { text += (text.empty() ? "" : ", ") + part; };
    if (found.max_error > limits.max_error)
        say("max error " + print_decimal("%.2g", found.max_error) + print_decimal(" (limit %g)", limits.max_error));
    if (found.psnr < limits.psnr)
        say("PSNR " + print_decimal("%.1f", found.psnr) + print_decimal(" dB (limit %g)", limits.psnr));
    if (found.block_error > limits.block_error)
        say("mean of a block off by " + print_decimal("%.2g", found.block_error) +
            print_decimal(" (limit %g)", limits.block_error));
    return text;
}

Comparison compare(const Answer &answer, const Case &of, const float *frame, bool together) {
    Comparison result{of.scene.size, answer.t, together, 0.0, 0.0, 0.0, ""};
    compare_patches(answer, result.size, frame, result);
    result.block_error = compare_blocks(answer, of.block, result.size, frame);
    if (!std::isfinite(result.max_error) || !std::isfinite(result.block_error)) {
        result.max_error = result.block_error = INFINITY;
        result.psnr = -INFINITY;
    }
    result.trouble = trouble_of(result, answer.limits);
    return result;
}

// (height, width, 3) bytes -> (3, height, width) in [0, 1].
std::vector<float> to_tensor(const Bytes &frame) {
    const size_t plane = frame.size() / 3;
    std::vector<float> tensor(frame.size());
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < plane; i++) tensor[c * plane + i] = float(frame[3 * i + c]) * float(1.0 / 255.0);
    return tensor;
}

std::vector<float> frame_of(const Case &of, size_t index) {
    Bytes frame = render(of.scene, of.scene.frames[index]);
    if (sha256(frame.data(), frame.size()) != of.frames_sha256[index])
        fail(
            IFRNET_ARTIFACT,
            "the frames of the proof at %s came out with another sha256 than it states: the file was changed, or whole "
            "numbers go wrong here; export the artifact again",
            text_of(of.scene.size).c_str());
    return to_tensor(frame);
}

std::vector<float> ask(const Infer &infer, const std::vector<float> frames[2], const std::vector<float> &steps) {
    std::vector<float> outputs = infer(frames[0].data(), frames[1].data(), steps);
    if (outputs.size() != steps.size() * frames[0].size())
        fail(IFRNET_INTERNAL, "%zu values came back for %zu time steps of %zu values", outputs.size(), steps.size(),
             frames[0].size());
    return outputs;
}

}  // namespace

std::vector<Case> read_proof(const Bytes &data, Size frames) {
    if (data.size() > MAX_BYTES || data.size() < HEAD)
        fail(IFRNET_ARTIFACT, "proof.dat has %zu bytes; expected %zu to %zu: export again", data.size(), HEAD,
             MAX_BYTES);
    if (std::memcmp(data.data(), "IFRPROOF", 8) != 0)
        fail(IFRNET_ARTIFACT, "proof.dat does not begin like a proof: export the artifact again");
    uint32_t format = little_endian(data.data() + 8), length = little_endian(data.data() + 12);
    if (format != 1)
        fail(IFRNET_ARTIFACT, "proof.dat is of format %u, this version reads 1: update ifrnet or export again", format);
    try {
        if (length > data.size() - HEAD) throw std::invalid_argument("the header is longer than the file");
        if (length % 4 != 0)
            throw std::invalid_argument("its header has " + std::to_string(length) + " bytes; expected a multiple of 4");
        Json header = parse_json({reinterpret_cast<const char *>(data.data()) + HEAD, length});
        header.at("patch").as_whole(PATCH, PATCH);
        const std::vector<Json> &stated = header.at("cases").as_list();
        if (stated.empty() || stated.size() > MAX_CASES)
            throw std::invalid_argument(std::to_string(stated.size()) + " cases; expected 1 to 4");
        Reader reader(data, HEAD + length);
        std::vector<Case> cases;
        for (const Json &item : stated) cases.push_back(read_case(item, reader, frames));
        reader.finish();
        return cases;
    } catch (const std::invalid_argument &error) {
        fail(IFRNET_ARTIFACT, "proof.dat is damaged (%s): export the artifact again", one_line(error.what()).c_str());
    }
}

std::vector<Comparison> run_proof(const Infer &infer, const std::vector<Case> &cases) {
    std::vector<Comparison> results;
    for (const Case &item : cases) {
        const std::vector<float> frames[2] = {frame_of(item, 0), frame_of(item, 1)};
        std::vector<float> steps;
        for (const Answer &answer : item.answers) {
            steps.push_back(float(answer.t));
            results.push_back(compare(answer, item, ask(infer, frames, {steps.back()}).data(), false));
        }
        if (steps.size() < 2) continue;
        std::vector<float> outputs = ask(infer, frames, steps);
        for (size_t i = 0; i < steps.size(); i++)
            results.push_back(compare(item.answers[i], item, outputs.data() + i * frames[0].size(), true));
    }
    return results;
}

}  // namespace ifrnet
