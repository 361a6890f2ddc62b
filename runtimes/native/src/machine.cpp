#include "machine.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "engine.h"

#if !defined(_WIN32)
#include <sys/utsname.h>
#endif
#if defined(__ANDROID__)
#include <sys/system_properties.h>
#endif

namespace ifrnet {

namespace {

// Those that decide which kernels ncnn chooses; the list of runtimes/environment.py, in its order.
constexpr const char *INSTRUCTION_SETS[] = {"avx2",        "fma",         "f16c",        "avx512f",  "avx512bw",
                                            "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile",
                                            "amx_bf16",    "amx_int8",    "asimd",       "asimdhp",  "asimddp",
                                            "i8mm",        "bf16",        "sve",         "sve2"};

std::string stripped(const std::string &text) {
    static const char *const spaces = " \t\r\n\v\f";
    size_t begin = text.find_first_not_of(spaces);
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(spaces) - begin + 1);
}

// The lines of the first processor in /proc/cpuinfo; empty where there is none.
std::map<std::string, std::string> cpuinfo() {
    std::map<std::string, std::string> found;
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line) && !line.empty();) {
        size_t colon = line.find(':');
        found[stripped(line.substr(0, colon))] = colon == std::string::npos ? "" : stripped(line.substr(colon + 1));
    }
    return found;
}

std::string architecture() {
#if defined(_WIN32)
    return "AMD64";
#else
    utsname names;
    return uname(&names) == 0 ? names.machine : "";
#endif
}

// Of a phone, which has no "model name".
std::string chip() {
#if defined(__ANDROID__)
    char value[PROP_VALUE_MAX] = "";
    __system_property_get("ro.soc.model", value);
    return value;
#else
    return "";
#endif
}

std::string joined(const std::vector<std::string> &names) {
    std::string text;
    for (const std::string &name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

// What is in a and not in b, sorted, each once.
std::vector<std::string> missing(const std::vector<std::string> &a, const std::vector<std::string> &b) {
    std::set<std::string> first(a.begin(), a.end()), second(b.begin(), b.end());
    std::vector<std::string> found;
    std::set_difference(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(found));
    return found;
}

}  // namespace

Machine Machine::here() {
    std::map<std::string, std::string> info = cpuinfo();
    Machine machine;
    std::string architecture_name = architecture();
    for (const std::string &name : {info["model name"], chip(), architecture_name})
        if (machine.processor.empty()) machine.processor = name;
    machine.instruction_sets.push_back(architecture_name);
    std::istringstream listed(info["flags"].empty() ? info["Features"] : info["flags"]);
    std::set<std::string> flags{std::istream_iterator<std::string>(listed), {}};
    if (flags.empty()) machine.instruction_sets.push_back(machine.processor);
    for (const char *name : INSTRUCTION_SETS)
        if (flags.count(name) > 0) machine.instruction_sets.push_back(name);
    machine.versions = {{"ifrnet", VERSION}, {"ncnn", NCNN_VERSION}};
    return machine;
}

Machine Machine::parse(const Json &data) {
    Machine machine;
    machine.processor = data.at("processor").as_text();
    machine.device = data.at("device").as_text();
    machine.driver = data.at("driver").as_text();
    for (const Json &name : data.at("instruction_sets").as_list()) machine.instruction_sets.push_back(name.as_text());
    const Json &listed = data.at("versions");
    if (listed.kind != Json::Kind::Object) listed.at("ncnn"); // throws
    for (const auto &field : listed.fields) machine.versions[field.first] = field.second.as_text();
    return machine;
}

Json Machine::to_json() const {
    Json sets = Json::list(), listed = Json::object(), data = Json::object();
    for (const std::string &name : instruction_sets) sets.add(Json::of(name));
    for (const auto &version : versions) listed.set(version.first, Json::of(version.second));
    data.set("processor", Json::of(processor)).set("instruction_sets", std::move(sets)).set("device", Json::of(device));
    data.set("driver", Json::of(driver)).set("versions", std::move(listed));
    return data;
}

std::string Machine::difference(const Machine &other, const std::string &kind) const {
    if (kind.substr(kind.rfind('/') + 1) != "cpu") return device == other.device ? "" : "proved on " + other.device + ", this is " + device;
    if (instruction_sets == other.instruction_sets) return "";
    std::vector<std::string> lacking = missing(other.instruction_sets, instruction_sets);
    std::vector<std::string> more = missing(instruction_sets, other.instruction_sets);
    std::string text = lacking.empty() ? "" : "without " + joined(lacking);
    if (!more.empty()) text += (text.empty() ? "with " : " and with ") + joined(more);
    return "proved on " + other.processor + "; this processor is one " + text;
}

bool Machine::operator==(const Machine &other) const {
    return processor == other.processor && instruction_sets == other.instruction_sets && device == other.device &&
           driver == other.driver && versions == other.versions;
}

}  // namespace ifrnet
