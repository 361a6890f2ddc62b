#include "runtime.h"

#include <cstring>
#include <utility>

#include "error.h"
#include "frames.h"

namespace ifrnet {

namespace {

Settings settings_of(const OpenOptions &options, const Device &device) {
    Settings settings;
    settings.device = device;
    settings.threads = options.threads;
    settings.float32 = options.float32;
    settings.cache = options.cache.value_or("");
    return settings;
}

Conditions conditions_of(const Device &device, const std::string &arithmetic) {
    Conditions conditions{std::string(BACKEND) + "/" + device.name, arithmetic, Machine::here()};
    if (device.kind() != "cpu") {
        conditions.machine.device = device.description;
        conditions.machine.driver = device.driver;
    }
    return conditions;
}

template <size_t N> void copy(char (&to)[N], const std::string &from) {
    const size_t length = from.size() < N ? from.size() : N - 1;
    std::memcpy(to, from.data(), length);
    to[length] = 0;
}

}  // namespace

Runtime::Runtime(Artifact artifact, const OpenOptions &options)
    : artifact_(std::move(artifact)), device_(find_device(options.device)), cache_(options.cache),
      engine_(artifact_, settings_of(options, device_)), conditions_(conditions_of(device_, engine_.arithmetic())) {
    decide(options.unproven);
}

void Runtime::decide(ifrnet_unproven unproven) {
    const char *where = artifact_.where().c_str(), *device = device_.name.c_str();
    belief_ = believed(artifact_, conditions_, cache_.value_or(""));
    if (belief_.verdict == Belief::NotRun && unproven == IFRNET_PROVE) {
        std::vector<Comparison> comparisons;
        prove(comparisons);
    }
    if (belief_.verdict == Belief::Failed && unproven != IFRNET_INSPECT)
        fail(IFRNET_PARITY, "%s failed parity on %s (%s): export it again", where, device, belief_.reason.c_str());
    if (belief_.verdict == Belief::NotRun && unproven == IFRNET_REFUSE)
        fail(IFRNET_PARITY, "%s was not proved on %s: %s; prove it here with ifrnet verify, or open it with "
             "options.unproven = IFRNET_PROVE", where, device, belief_.reason.c_str());
}

void Runtime::describe(ifrnet_info &info) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const Manifest &manifest = artifact_.manifest;
    info.width = manifest.size.width;
    info.height = manifest.size.height;
    info.any_timestep = manifest.any_timestep;
    info.proven = belief_.verdict == Belief::Passed ? 1 : belief_.verdict == Belief::Failed ? -1 : 0;
    info.threads = engine_.threads();
    copy(info.name, manifest.name);
    copy(info.device, device_.name);
    copy(info.precision, manifest.precision);
    copy(info.arithmetic, engine_.arithmetic());
    copy(info.reason, belief_.reason);
    copy(info.identity, manifest.identity);
    copy(info.machine, canonical(conditions_.machine.to_json()));
}

void Runtime::check_step(float t) const {
    const bool any = artifact_.manifest.any_timestep;
    if (any ? !(t > 0.0f && t < 1.0f) : t != 0.5f)
        fail(IFRNET_TIMESTEP, any ? "t is %g; expected 0 < t < 1"
                                  : "t is %g; this checkpoint was trained for t = 0.5 only", static_cast<double>(t));
}

void Runtime::check_range(const float *frame, const char *name) const {
    const size_t values = 3 * static_cast<size_t>(size().width) * static_cast<size_t>(size().height);
    bool right = true; // false for NaN too
    for (size_t i = 0; i < values; i++)
        right &= frame[i] >= 0.0f && frame[i] <= 1.0f;
    if (!right)
        fail(IFRNET_FRAME, "%s has values outside of [0, 1]; expected finite ones within: divide levels by their peak", name);
}

void Runtime::load(int index, const float *frame) {
    const size_t values = static_cast<size_t>(size().width) * static_cast<size_t>(size().height);
    for (size_t c = 0; c < 3; c++)
        std::memcpy(engine_.input(index) + c * engine_.plane_stride(), frame + c * values, values * sizeof(float));
}

void Runtime::store(const float *planes, float *to) {
    const size_t values = static_cast<size_t>(size().width) * static_cast<size_t>(size().height);
    for (size_t c = 0; c < 3; c++)
        std::memcpy(to + c * values, planes + c * engine_.plane_stride(), values * sizeof(float));
}

void Runtime::run(const float *img0, const float *img1, const std::vector<float> &steps, float *output) {
    load(0, img0);
    load(1, img1);
    engine_.begin(steps.size() > 1);
    const size_t values = 3 * static_cast<size_t>(size().width) * static_cast<size_t>(size().height);
    for (size_t i = 0; i < steps.size(); i++)
        store(engine_.frame(steps[i]), output + i * values);
}

void Runtime::infer(const float *img0, const float *img1, const std::vector<float> &steps, float *output) {
    check_range(img0, "img0");
    check_range(img1, "img1");
    const Call call(*this);
    run(img0, img1, steps, output);
}

void Runtime::interpolate(const ifrnet_image &img0, const ifrnet_image &img1, const std::vector<float> &steps,
                          const ifrnet_image *outputs) {
    const Call call(*this);
    read_image(img0, engine_.input(0), engine_.plane_stride(), engine_.threads());
    read_image(img1, engine_.input(1), engine_.plane_stride(), engine_.threads());
    engine_.begin(steps.size() > 1);
    for (size_t i = 0; i < steps.size(); i++)
        write_image(engine_.frame(steps[i]), engine_.plane_stride(), outputs[i], engine_.threads());
}

void Runtime::cancel() { engine_.cancel(); }

Belief Runtime::verify(std::vector<Comparison> &comparisons) {
    const Call call(*this);
    prove(comparisons);
    return belief_;
}

void Runtime::prove(std::vector<Comparison> &comparisons) {
    const auto cases = read_proof(artifact_.file("proof.dat"), size());
    std::string trouble;
    try {
        comparisons = run_proof(
            [this](const float *img0, const float *img1, const std::vector<float> &steps) {
                std::vector<float> output(steps.size() * 3 * static_cast<size_t>(size().width)
                                          * static_cast<size_t>(size().height));
                run(img0, img1, steps, output.data());
                return output;
            },
            cases);
        trouble = reason_of(comparisons);
    } catch (const Error &error) {
        if (error.status != IFRNET_BACKEND)
            throw;
        belief_ = {Belief::Failed, error.message, true}; // short of memory perhaps: not kept for the next time
        return;
    }
    belief_ = {trouble.empty() ? Belief::Passed : Belief::Failed, trouble, true};
    const std::string unkept = keep(artifact_, conditions_, comparisons, trouble, cache_);
    belief_.reason += (trouble.empty() || unkept.empty() ? "" : "; ") + unkept;
}

}  // namespace ifrnet
