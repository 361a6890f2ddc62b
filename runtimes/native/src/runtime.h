// What a handle of the C ABI stands for: an artifact, loaded on a device, with the verdict that holds for it there.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "artifact.h"
#include "engine.h"
#include "ifrnet.h"
#include "proof.h"
#include "threads.h"
#include "verdicts.h"

namespace ifrnet {

struct OpenOptions {
    int threads = 0;
    std::string device = "cpu";
    std::optional<std::string> cache; // "": keep nothing; none: there is no place for it
    ifrnet_unproven unproven = IFRNET_REFUSE;
    bool float32 = false;
};

// Safe to use from several threads: calls run one after the other.
class Runtime {
public:
    // Throws Error: see ifrnet_open.
    Runtime(Artifact artifact, const OpenOptions &options);

    void describe(ifrnet_info &info);
    void interpolate(const ifrnet_image &img0, const ifrnet_image &img1, const std::vector<float> &steps,
                     const ifrnet_image *outputs);
    void infer(const float *img0, const float *img1, const std::vector<float> &steps, float *output);
    void cancel();

    // Runs the proof and keeps the outcome. The reason says what went wrong, and where the outcome could not be kept.
    Belief verify(std::vector<Comparison> &comparisons);

    // Throws Error (IFRNET_TIMESTEP).
    void check_step(float t) const;

    Size size() const { return artifact_.manifest.size; }

private:
    // One call that computes at a time, which a cancel() before it does not concern.
    class Call {
    public:
        explicit Call(Runtime &runtime) : lock_(runtime.mutex_) {
            prepare_threads(runtime.engine_.threads());
            runtime.engine_.resume();
        }

    private:
        std::lock_guard<std::mutex> lock_;
    };

    void check_range(const float *frame, const char *name) const; // Throws Error (IFRNET_FRAME)
    void load(int index, const float *frame);   // (3, height, width) into the engine
    void store(const float *planes, float *to); // the reverse
    void run(const float *img0, const float *img1, const std::vector<float> &steps, float *output);
    void decide(ifrnet_unproven unproven);
    void prove(std::vector<Comparison> &comparisons);

    Artifact artifact_;
    Device device_;
    std::optional<std::string> cache_;
    Engine engine_;
    Conditions conditions_;
    Belief belief_;
    std::mutex mutex_;
};

}  // namespace ifrnet
