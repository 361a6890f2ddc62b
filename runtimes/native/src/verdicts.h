// What was proved of an artifact on this machine, in the file that runtimes/verdicts.py reads and writes.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "artifact.h"
#include "machine.h"
#include "proof.h"

namespace ifrnet {

// Of the conditions. Devices carry it in verdicts, "native/cpu": what ncnn proved from Python holds there only.
inline constexpr const char *BACKEND = "native";

struct Conditions {
    std::string device, arithmetic; // device: with BACKEND and a slash before its name
    Machine machine;
};

struct Belief {
    enum Verdict { Passed, Failed, NotRun } verdict = NotRun;
    std::string reason;
    bool own = false; // won on this very machine
};

// The verdict that holds: the newest record of exactly these conditions (beside the artifact, or in `cache`), else one of
// the manifest's that this backend won on the same kind of device, in the same arithmetic, with the same instruction sets
// (of a CPU) or the same device (of a GPU). Records that are damaged, edited or foreign are ignored.
Belief believed(const Artifact &artifact, const Conditions &conditions, const std::string &cache);

// What a failed proof is refused with, in the words of runtimes.verdicts.prove: every comparison that breaks a limit; "" for
// a passed one.
std::string reason_of(const std::vector<Comparison> &comparisons);

// Keeps the outcome of a proof, as runtimes.verdicts.keep: beside the artifact, or as CACHE/verdicts/IDENTITY.json where
// that fails or the artifact has no folder; written to a temporary name and renamed. `trouble` is "" for a passed one.
// With "" as `cache` it is written beside the artifact or not at all, as the caller wishes; without one there is no other
// place. Returns "", or a sentence where it could be written nowhere against the caller's wish.
std::string keep(const Artifact &artifact, const Conditions &conditions, const std::vector<Comparison> &comparisons,
                 const std::string &trouble, const std::optional<std::string> &cache);

// $IFRNET_CACHE, or ~/.cache/ifrnet, or none where there is no home.
std::optional<std::string> default_cache();

}  // namespace ifrnet
