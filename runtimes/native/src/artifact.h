// The artifact: a manifest and the files that it lists, each read once and held against its size and sha256.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ifrnet.h"
#include "json.h"

namespace ifrnet {

using Bytes = std::vector<uint8_t>;

struct Size {
    int width = 0, height = 0; // in pixels

    bool operator==(const Size &other) const { return width == other.width && height == other.height; }
};

struct Manifest {
    std::string name, precision; // precision: fp32, fp16, bf16, int8
    bool any_timestep = false;
    Size size;
    std::string identity; // sha256 of all but the verdicts and the date, as runtimes.artifact.Manifest.identity
    Json parity;          // List: the verdicts of the export
    Json options;         // Object: details.options, what every host sets before it loads; empty where there is none
};

struct Artifact {
    std::string folder; // "" for one that was opened from memory
    Manifest manifest;
    std::map<std::string, Bytes> contents; // file name -> what was checked

    // Throws Error (IFRNET_ARTIFACT): no such file in it.
    const Bytes &file(const std::string &name) const;

    // Where it is, for messages: the folder, or its name in memory.
    const std::string &where() const { return folder.empty() ? manifest.name : folder; }
};

// Reads a folder. Throws Error (IFRNET_ARTIFACT): no manifest, over 4 MB, deeper than 64, of another format or backend, not
// of one size, a file name that is not plain, a file that is missing, larger than 512 MB or changed, a .param that states
// another size or that check_network refuses.
Artifact read_folder(const std::string &folder);

// The same from memory; the bytes are copied.
Artifact read_memory(const ifrnet_file *files, size_t count);

// A whole file of at most `limit` bytes. Throws Error (`status`) that names it.
Bytes read_file(const std::string &path, size_t limit, ifrnet_status status = IFRNET_ARTIFACT);

}  // namespace ifrnet
