// What tests/native/test_warp.py runs. One of:
//   warp_probe errors cpu|vulkan         the largest error of each form of the warp, one "NAME ERROR" a line
//   warp_probe cancel cpu|vulkan         what ncnn returns for a warp that was cancelled
//   warp_probe load cpu LAYER [NUMBER..] what ncnn returns for a .param with this layer
//   warp_probe rewrite PARAM BIN cpu|vulkan fp32|fp16|bf16    the network as it is run there
//   warp_probe seal FILE TEXT            write_sealed; warp_probe unseal FILE prints read_sealed
// The exit code is 3 where vulkan is asked for and no device is there.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "datareader.h"
#include "gpu.h"
#include "mat.h"
#include "net.h"
#include "pipeline_cache.h"
#include "rewrite.h"
#include "warp.h"
#include "warp_cpu.h"

namespace {

using ncnn::Mat;

constexpr int W = 37, H = 23; // odd, and no multiple of anything
const std::string GRID = "GridSample", PIXELS = "IfrnetWarp", GRID_NUMBERS = "0=1 1=2 2=1 3=1";

Mat random_mat(int channels, float low, float high, unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<float> values(low, high);
    Mat mat(W, H, channels);
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < W * H; i++) mat.channel(c)[i] = values(generator);
    return mat;
}

Mat rounded(const Mat &mat) {
    Mat result = mat.clone();
    for (int c = 0; c < mat.c; c++)
        for (int i = 0; i < W * H; i++)
            result.channel(c)[i] = ncnn::float16_to_float32(ncnn::float32_to_float16(mat.channel(c)[i]));
    return result;
}

// The warp in double precision, at one place.
double sample(const Mat &feature, int channel, double x, double y) {
    x = std::min(std::max(x, 0.0), double(W - 1));
    y = std::min(std::max(y, 0.0), double(H - 1));
    const int x0 = int(x), y0 = int(y), x1 = std::min(x0 + 1, W - 1), y1 = std::min(y0 + 1, H - 1);
    const Mat plane = feature.channel(channel);
    const double a = x - x0, b = y - y0;
    const double upper = double(plane.row(y0)[x0]) * (1 - a) + double(plane.row(y0)[x1]) * a;
    const double lower = double(plane.row(y1)[x0]) * (1 - a) + double(plane.row(y1)[x1]) * a;
    return upper * (1 - b) + lower * b;
}

double largest_error(const Mat &feature, const Mat &flow, bool grid, const Mat &output) {
    if (output.w != W || output.h != H || output.c != feature.c || output.elempack != 1) return INFINITY;
    double largest = 0;
    for (int c = 0; c < feature.c; c++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                const double u = double(flow.channel(0).row(y)[x]), v = double(flow.channel(1).row(y)[x]);
                const double expected = grid ? sample(feature, c, (u + 1) / 2 * (W - 1), (v + 1) / 2 * (H - 1))
                                             : sample(feature, c, x + u, y + v);
                const double error = std::fabs(double(output.channel(c).row(y)[x]) - expected);
                largest = error >= largest ? error : std::isnan(error) ? INFINITY : largest;
            }
    return largest;
}

// A flow that leaves the frame on all sides, here and there far.
Mat flow_of(bool grid) { return grid ? random_mat(2, -1.6f, 1.6f, 7) : random_mat(2, -30.0f, 30.0f, 7); }

struct Options {
    bool vulkan = false, half = false;
};

void set(ncnn::Net &net, const Options &options) {
    net.opt.num_threads = 2;
    net.opt.use_vulkan_compute = options.vulkan;
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = options.half;
    net.opt.use_bf16_packed = net.opt.use_bf16_storage = false;
    if (options.vulkan) net.set_vulkan_device(0);
}

std::string param(const std::vector<std::string> &layers, int blobs) {
    std::string text = "7767517\n" + std::to_string(layers.size() + 2) + " " + std::to_string(blobs + 2) +
                       "\nInput in0 0 1 in0\nInput in1 0 1 in1\n";
    for (const std::string &layer : layers) text += layer + "\n";
    return text;
}

int load(ncnn::Net &net, const std::string &text) {
    const auto *letters = reinterpret_cast<const unsigned char *>(text.data());
    const int code = net.load_param(ncnn::DataReaderFromMemory(letters, text.size()));
    static const unsigned char nothing[4] = {};
    const unsigned char *data = nothing;
    return code ? code : net.load_model(ncnn::DataReaderFromMemory(data, 0));
}

int run(const std::string &text, const Options &options, const Mat &feature, const Mat &flow, Mat &output,
        bool cancel = false) {
    std::atomic<bool> cancelled{cancel};
    ncnn::Net net;
    set(net, options);
    ifrnet::register_warp(net, cancelled);
    if (const int code = load(net, text)) return code;
    ncnn::Extractor extractor = net.create_extractor();
    extractor.input("in0", feature.clone());
    extractor.input("in1", flow.clone());
    return extractor.extract("out", output);
}

std::string warp_of(const std::string &kind) {
    return kind + " warp 2 1 in0 in1 out" + (kind == GRID ? " " + GRID_NUMBERS : "");
}

void print(const std::string &name, double error) { std::printf("%s %.3g\n", name.c_str(), error); }

// Through a net, which packs as it likes: 3, 4, 8 and 16 channels make it take 1, 4, 8 and 16 where it can.
void errors_of(const std::string &kind, const Options &options) {
    const bool grid = kind == GRID;
    for (const int channels : {3, 4, 8, 16, 54}) {
        const bool stored_half = options.vulkan && options.half;
        const Mat feature = random_mat(channels, -1.0f, 1.0f, 3), flow = flow_of(grid);
        const Mat given = stored_half ? rounded(feature) : feature, moved = stored_half ? rounded(flow) : flow;
        Mat output;
        const int code = run(param({warp_of(kind)}, 1), options, feature, flow, output);
        const std::string name = std::string(options.vulkan ? "vulkan " : "cpu ") + (options.half ? "fp16 " : "fp32 ") +
                                 kind + " " + std::to_string(channels);
        print(name, code ? INFINITY : largest_error(given, moved, grid, output));
    }
}

// Every packing by itself, whether this processor's ncnn uses it or not.
void errors_of_packings() {
    const Mat feature = random_mat(16, -1.0f, 1.0f, 3), flow = flow_of(false);
    for (const int pack : {1, 4, 8, 16}) {
        ncnn::Option options;
        options.num_threads = 2;
        Mat packed, top, output;
        ncnn::convert_packing(feature, packed, pack, options);
        const int code = ifrnet::warp_by_pixels(packed, flow, top, options);
        ncnn::convert_packing(top, output, 1, options);
        print("cpu pack" + std::to_string(pack) + " " + PIXELS, code ? INFINITY : largest_error(feature, flow, false, output));
    }
}

// Features in float16 and a flow in float32, as island_on_gpu lays them out: a tenth of what float16 holds.
void errors_of_float_flow() {
    for (const int channels : {3, 8}) {
        const Mat feature = random_mat(channels, -1.0f, 1.0f, 3), flow = random_mat(2, -300.0f, 300.0f, 7);
        Mat moved = rounded(flow), output;
        for (int c = 0; c < 2; c++)
            for (int i = 0; i < W * H; i++) moved.channel(c)[i] *= 0.1f;
        const std::string text = param({"Cast cast 1 1 in1 float 0=2 1=1", "BinaryOp tenth 1 1 float flow 0=2 1=1 2=0.1 31=7",
                                        "IfrnetWarp warp 2 1 in0 flow out"}, 3);
        const int code = run(text, {true, true}, feature, flow, output);
        print("vulkan float flow " + std::to_string(channels),
              code ? INFINITY : largest_error(rounded(feature), moved, false, output));
    }
}

void errors(bool vulkan) {
    for (const std::string &kind : {GRID, PIXELS})
        for (const bool half : {false, true}) errors_of(kind, {vulkan, half});
    if (vulkan) errors_of_float_flow();
    if (!vulkan) errors_of_packings();
}

void cancel(bool vulkan) {
    for (const std::string &kind : {GRID, PIXELS}) {
        Mat output;
        const Mat feature = random_mat(4, -1.0f, 1.0f, 3), flow = flow_of(kind == GRID);
        std::printf("%s %d\n", kind.c_str(), run(param({warp_of(kind)}, 1), {vulkan, false}, feature, flow, output, true));
    }
}

bool no_gpu() {
#if NCNN_VULKAN
    return ncnn::get_gpu_count() <= 0;
#else
    return true;
#endif
}

void rewrite(const char *const *arguments) {
    const ifrnet::Bytes text = ifrnet::read_file(arguments[0], 1 << 20), weights = ifrnet::read_file(arguments[1], 1 << 28);
    ifrnet::Size size;
    const std::string param_text(text.begin(), text.end());
    if (std::sscanf(std::strstr(param_text.c_str(), " 0="), " 0=%d 1=%d", &size.width, &size.height) != 2)
        throw std::invalid_argument("no size in the .param");
    const std::string precision = arguments[3];
    const auto storage = precision == "fp16"   ? ifrnet::Storage::Float16
                         : precision == "bf16" ? ifrnet::Storage::BFloat16
                                               : ifrnet::Storage::Float32;
    const auto layers = ifrnet::check_network(param_text, weights, size);
    const ifrnet::Target target{std::strcmp(arguments[2], "vulkan") == 0, storage};
    std::fputs(ifrnet::write_param(ifrnet::for_target(layers, weights, target)).c_str(), stdout);
}

void load_layer(int count, const char *const *words) {
    std::string layer = std::string(words[0]) + " warp 2 1 in0 in1 out";
    for (int i = 1; i < count; i++) layer += std::string(" ") + words[i];
    const std::atomic<bool> cancelled{false};
    ncnn::Net net;
    set(net, {});
    ifrnet::register_warp(net, cancelled);
    std::printf("%d\n", load(net, param({layer}, 1)));
}

int probe(int count, char **arguments) {
    const std::string task = count > 1 ? arguments[1] : "";
    const bool vulkan = count > 2 && std::strcmp(arguments[2], "vulkan") == 0;
    if (vulkan && no_gpu()) return 3;
    if (task == "errors") errors(vulkan);
    else if (task == "cancel") cancel(vulkan);
    else if (task == "load" && count > 3) load_layer(count - 3, arguments + 3);
    else if (task == "rewrite" && count == 6) rewrite(arguments + 2);
    else if (task == "seal" && count == 4) return !ifrnet::write_sealed(arguments[2], {arguments[3], arguments[3] + std::strlen(arguments[3])});
    else if (task == "unseal" && count == 3) {
        const ifrnet::Bytes content = ifrnet::read_sealed(arguments[2], 1000);
        std::fwrite(content.data(), 1, content.size(), stdout);
    } else return 2;
    return 0;
}

}  // namespace

int main(int count, char **arguments) {
    try {
        const int code = probe(count, arguments);
#if NCNN_VULKAN
        ncnn::destroy_gpu_instance();
#endif
        return code;
    } catch (const std::exception &error) {
        std::puts(error.what());
        return 1;
    }
}
