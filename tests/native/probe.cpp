// What the tests of the native library's parts look through: one subcommand a part, results on standard output.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <stdexcept>

#include "artifact.h"
#include "decimal.h"
#include "engine.h"
#include "error.h"
#include "machine.h"
#include "network.h"
#include "proof.h"
#include "scene.h"
#include "sha256.h"
#include "verdicts.h"

namespace ifrnet {
const char *const VERSION = "0.1.0", *const NCNN_VERSION = "1.0.20261020"; // engine.cpp has them in the library
}

namespace {

using namespace ifrnet;

std::string standard_input() { return {std::istreambuf_iterator<char>(std::cin), {}}; }

std::string text_of(const Bytes &data) { return {reinterpret_cast<const char *>(data.data()), data.size()}; }

Bytes bytes_of(const std::string &text) { return {text.begin(), text.end()}; }

Json texts(const std::vector<std::string> &names) {
    Json list = Json::list();
    for (const std::string &name : names) list.add(Json::of(name));
    return list;
}

Conditions read_conditions(const Json &data) {
    return {data.at("device").as_text(), data.at("arithmetic").as_text(), Machine::parse(data.at("machine"))};
}

Json to_json(const Comparison &found) {
    Json item = Json::object();
    item.set("size", Json::of(std::to_string(found.size.width) + "x" + std::to_string(found.size.height)));
    item.set("t", Json::of(found.t)).set("together", Json::of(found.together));
    item.set("max_error", Json::of(found.max_error)).set("psnr", Json::of(found.psnr));
    return item.set("block_error", Json::of(found.block_error)).set("trouble", Json::of(found.trouble));
}

// A network that answers the mean of both frames, or what a file holds: float32, one output after the other.
Infer fake(Size size, const std::string &source) {
    return [=](const float *img0, const float *img1, const std::vector<float> &t) {
        std::vector<float> out(t.size() * 3 * size_t(size.width) * size_t(size.height));
        const size_t each = out.size() / t.size();
        Bytes data = source == "mean" ? Bytes() : read_file(source, size_t(1) << 28);
        if (source != "mean") std::memcpy(out.data(), data.data(), std::min(4 * out.size(), data.size()));
        for (size_t i = 0; source == "mean" && i < out.size(); i++) out[i] = 0.5f * (img0[i % each] + img1[i % each]);
        return out;
    };
}

std::vector<Comparison> prove(const Artifact &artifact, const std::string &source) {
    return run_proof(fake(artifact.manifest.size, source),
                     read_proof(artifact.file("proof.dat"), artifact.manifest.size));
}

void show_network(const std::string &param, const std::string &weights, Size size) {
    std::vector<Layer> layers =
        check_network(text_of(read_file(param, 1 << 22)), read_file(weights, size_t(1) << 29), size);
    Json found = Json::object();
    found.set("layers", Json::of(int64_t(layers.size()))).set("encoded", texts(encoded_blobs(layers)));
    std::cout << canonical(found);
}

void show_frames() {
    Scene scene = read_scene(parse_json(standard_input()));
    for (const Placement &place : scene.frames) {
        Bytes frame = render(scene, place);
        std::cout.write(reinterpret_cast<const char *>(frame.data()), std::streamsize(frame.size()));
    }
}

void show_belief(const std::string &folder, const std::string &cache) {
    static const char *const names[] = {"passed", "failed", "not run"};
    Belief belief = believed(read_folder(folder), read_conditions(parse_json(standard_input())), cache);
    Json found = Json::object();
    found.set("verdict", Json::of(names[belief.verdict])).set("reason", Json::of(belief.reason));
    std::cout << canonical(found.set("own", Json::of(belief.own)));
}

void show_identity(const std::string &folder) {
    Artifact artifact = read_folder(folder);
    Json found = Json::object();
    found.set("identity", Json::of(artifact.manifest.identity)).set("options", artifact.manifest.options);
    std::cout << canonical(found.set("any_timestep", Json::of(artifact.manifest.any_timestep)));
}

void show_floats() {
    std::string text = standard_input(); // eight bytes each
    for (size_t at = 0; at + 8 <= text.size(); at += 8) {
        double value;
        std::memcpy(&value, text.data() + at, 8);
        std::cout << write_decimal(value) << "\n";
    }
}

void keep_proof(const std::string &folder, const std::string &cache, const std::string &source) {
    Artifact artifact = read_folder(folder);
    std::vector<Comparison> comparisons = prove(artifact, source);
    const std::string unkept =
        keep(artifact, read_conditions(parse_json(standard_input())), comparisons, reason_of(comparisons), cache);
    if (!unkept.empty()) throw std::invalid_argument(unkept);
    Json list = Json::list();
    for (const Comparison &found : comparisons) list.add(to_json(found));
    std::cout << canonical(list);
}

// ---- fuzz ---------------------------------------------------------------------------------------------------------

std::string mutated(const std::string &seed, std::mt19937 &random) {
    static const char *const lies[] = {"-1",      "0",    "1",    "2147483647", "99999999", "-233", "1e308",
                                       "64",      "\"",   "[[[[", "{",          ",",        "3=",   "nan",
                                       "\\ud800", "\xff", "in0",  "out0",       "Split",    "\n"};
    std::string data = seed;
    auto below = [&](size_t n) { return n == 0 ? 0 : size_t(random() % n); };
    for (size_t i = 0, count = 1 + below(4); i < count; i++) {
        size_t at = below(data.size()), length = std::min(below(24), data.size() - at);
        switch (below(6)) {
            case 0: data.resize(at); break;
            case 1: if (!data.empty()) data[at] = char(random()); break;
            case 2: data.erase(at, length); break;
            case 3: data.insert(at, data.substr(at, length)); break;
            case 4: data.insert(at, lies[below(std::size(lies))]); break;
            default: { // another number for one that stands there
                size_t digit = data.find_first_of("0123456789", at);
                if (digit != std::string::npos) data.replace(digit, 1, lies[below(8)]);
            }
        }
    }
    return data;
}

// Whether an artifact of these files is taken; files whose sha256 the manifest states stay as they are.
bool takes(const Artifact &artifact, const std::string &name, const std::string &data, const std::string &scratch) {
    try {
        if (name == "proof.dat") {
            read_proof(bytes_of(data), artifact.manifest.size);
        } else if (name == "model.param") {
            check_network(data, artifact.file("model.bin"), artifact.manifest.size);
        } else if (name == "model.bin") {
            check_network(text_of(artifact.file("model.param")), bytes_of(data), artifact.manifest.size);
        } else if (name == "manifest.json") {
            std::vector<ifrnet_file> files{{"manifest.json", data.data(), data.size()}};
            for (const auto &file : artifact.contents)
                files.push_back({file.first.c_str(), file.second.data(), file.second.size()});
            read_memory(files.data(), files.size());
        } else {
            std::ofstream(scratch + "/verdicts.json", std::ios::binary) << data;
            Artifact copy = artifact;
            copy.folder = scratch;
            copy.manifest.parity = Json::list(); // or the export's verdict would hold
            Conditions here{"native/cpu", "fp32", Machine::here()};
            return believed(copy, here, "").verdict != Belief::NotRun;
        }
        return true;
    } catch (const Error &) {
    } catch (const std::invalid_argument &) {
    }
    return false;
}

void fuzz(const std::string &folder, const std::string &name, unsigned seed, int count, const std::string &scratch) {
    Artifact artifact = read_folder(folder);
    const std::string original = text_of(read_file(folder + "/" + name, size_t(1) << 29));
    std::mt19937 random(seed);
    int taken = 0;
    for (int i = 0; i < count; i++) taken += takes(artifact, name, mutated(original, random), scratch);
    std::cout << taken << " of " << count << " taken\n";
}

void run(const std::vector<std::string> &words) {
    const std::string &command = words.at(0);
    if (command == "canonical") {
        std::cout << canonical(parse_json(standard_input()));
    } else if (command == "indented") {
        std::cout << indented(parse_json(standard_input()));
    } else if (command == "floats") {
        show_floats();
    } else if (command == "sha256") {
        std::string data = standard_input();
        std::cout << sha256(data.data(), data.size());
    } else if (command == "identity") {
        show_identity(words.at(1));
    } else if (command == "network") {
        show_network(words.at(1), words.at(2), {std::stoi(words.at(3)), std::stoi(words.at(4))});
    } else if (command == "proof") {
        std::cout << read_proof(bytes_of(standard_input()), {std::stoi(words.at(1)), std::stoi(words.at(2))}).size();
    } else if (command == "manifest") {
        const std::string text = standard_input();
        const ifrnet_file file{"manifest.json", text.data(), text.size()};
        read_memory(&file, 1);
    } else if (command == "render") {
        show_frames();
    } else if (command == "machine") {
        std::cout << canonical(Machine::here().to_json());
    } else if (command == "difference") {
        Json pair = parse_json(standard_input());
        std::cout << Machine::parse(pair.at("here")).difference(Machine::parse(pair.at("there")), words.at(1));
    } else if (command == "believed") {
        show_belief(words.at(1), words.at(2));
    } else if (command == "keep") {
        keep_proof(words.at(1), words.at(2), words.at(3));
    } else if (command == "fuzz") {
        fuzz(words.at(1), words.at(2), unsigned(std::stoi(words.at(3))), std::stoi(words.at(4)), words.at(5));
    } else {
        throw std::invalid_argument("no such subcommand: " + command);
    }
}

}  // namespace

int main(int argc, char **argv) {
    try {
        run({argv + 1, argv + argc});
        return 0;
    } catch (const Error &error) {
        std::cerr << "error " << error.status << ": " << error.what() << "\n";
    } catch (const std::invalid_argument &error) {
        std::cerr << "invalid: " << error.what() << "\n";
    }
    return 1;
}
