#include "artifact.h"

#include <algorithm>
#include <cstdio>
#include <initializer_list>
#include <functional>
#include <stdexcept>

#include <sys/stat.h>

#include "decimal.h"
#include "error.h"
#include "machine.h"
#include "network.h"
#include "sha256.h"

namespace ifrnet {

namespace {

using Kind = Json::Kind;

constexpr const char *MANIFEST = "manifest.json", *PARAM = "model.param", *WEIGHTS = "model.bin";
constexpr int FORMAT = 2, MAX_SIDE = 16384;
constexpr size_t MAX_MANIFEST = 4 << 20, MAX_FILE = 512 << 20, MAX_FILES = 64;

// Of a file by its name and the most bytes that it may have. Throws Error.
using Source = std::function<Bytes(const std::string &name, size_t limit)>;

const Json &table(const Json &data, const char *name) {
    const Json &found = data.at(name);
    if (found.kind != Kind::Object) found.at(name); // throws
    return found;
}

Size read_size(const std::string &text) {
    size_t middle = text.find_first_of("xX");
    int sides[2] = {0, 0};
    bool fine = middle != std::string::npos && middle > 0 && middle + 1 < text.size() && text.size() <= 11;
    for (size_t i = 0; fine && i < text.size(); i++) {
        if (i == middle) continue;
        fine = text[i] >= '0' && text[i] <= '9';
        int &side = sides[i > middle];
        side = 10 * side + (text[i] - '0');
        fine = fine && side <= MAX_SIDE;
    }
    if (!fine || sides[0] < 1 || sides[1] < 1)
        throw std::invalid_argument("size is '" + one_line(text, 40) + "'; expected WIDTHxHEIGHT, each 1 to 16384");
    return {sides[0], sides[1]};
}

std::string text_of(Size size) { return std::to_string(size.width) + "x" + std::to_string(size.height); }

bool is_plain(const std::string &name) {
    auto letter = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-';
    };
    if (name.empty() || name == MANIFEST || !letter(name[0])) return false;
    for (char c : name)
        if (!letter(c) && c != '.') return false;
    return true;
}

// {file name: {sha256, bytes}}, without whatever else stands there.
Json read_files(const Json &data) {
    const Json &listed = table(data, "files");
    if (listed.fields.size() > MAX_FILES) throw std::invalid_argument("it lists more than 64 files");
    Json files = Json::object();
    for (const auto &field : listed.fields) {
        if (!is_plain(field.first))
            throw std::invalid_argument("file name '" + one_line(field.first, 60) +
                                        "' is not plain, or leaves the folder");
        Json file = Json::object();
        file.set("sha256", Json::of(field.second.at("sha256").as_text()));
        file.set("bytes", Json::of(field.second.at("bytes").as_whole(0, MAX_FILE)));
        files.fields.emplace_back(field.first, std::move(file));
    }
    return files;
}

Json texts(const Json &list) {
    Json found = Json::list();
    for (const Json &item : list.as_list()) found.add(Json::of(item.as_text()));
    return found;
}

// A verdict of the export, so that whoever believes it need not look again.
void check_verdict(const Json &verdict) {
    for (const char *name : {"device", "reason", "arithmetic"}) verdict.at(name).as_text();
    const std::string &outcome = verdict.at("verdict").as_text();
    if (outcome != "passed" && outcome != "failed" && outcome != "not run" && outcome != "file checked" &&
        outcome != "passed (emulated)")
        throw std::invalid_argument("it knows no verdict '" + one_line(outcome, 20) + "'");
    if (const Json *backend = verdict.find("backend")) backend->as_text();
    verdict.at("results").as_list();
    if (verdict.at("machine").kind != Kind::Null) Machine::parse(verdict.at("machine"));
}

std::string python_text(const Json &value) {
    if (value.kind == Kind::Text || value.kind == Kind::Number) return value.text;
    throw std::invalid_argument("a width or a height that is no number");
}

// As runtimes.artifact._plain: a table of a width and a height is a size.
Json plain(const Json &value) {
    Json found = value;
    if (value.kind == Kind::Object && value.fields.size() == 2 && value.find("width") && value.find("height"))
        return Json::of(python_text(value.at("width")) + "x" + python_text(value.at("height")));
    for (auto &field : found.fields) field.second = plain(field.second);
    for (Json &item : found.items) item = plain(item);
    return found;
}

std::string one_of(const Json &value, std::initializer_list<const char *> known) {
    for (const char *name : known)
        if (value.as_text() == name) return name;
    throw std::invalid_argument("'" + one_line(value.text, 20) + "' is none of those that this version knows");
}

Size read_sizes(const Json &data) {
    const Size size = read_size(data.at("typical").as_text());
    for (const char *name : {"minimum", "maximum"})
        if (!(read_size(data.at(name).as_text()) == size))
            throw std::invalid_argument(
                "it takes frames of several sizes; this library takes one: export it with --size");
    return size;
}

// sha256 of what runtimes.artifact.Manifest.identity hashes.
std::string identity_of(const Json &data, const Manifest &manifest, const Json &files) {
    Json known = Json::object(), sizes = Json::object();
    for (const char *name : {"name", "target", "backend", "variant", "contract", "timesteps", "precision"})
        known.set(name, Json::of(data.at(name).as_text()));
    for (const char *name : {"checkpoint", "tools", "details"}) known.set(name, plain(table(data, name)));
    for (const char *name : {"minimum", "typical", "maximum"}) sizes.set(name, Json::of(text_of(manifest.size)));
    known.set("sizes", std::move(sizes)).set("scale", Json::of(data.at("scale").as_number()));
    known.set("rewrites", texts(data.at("rewrites"))).set("files", files).set("format", Json::of(int64_t(FORMAT)));
    std::string text = canonical(known);
    return sha256(text.data(), text.size());
}

Manifest parse_manifest(const Json &data, Json &files) {
    const Json &format = data.at("format");
    if (format.kind != Kind::Number || format.text != std::to_string(FORMAT))
        throw std::invalid_argument("its format is " + one_line(format.text, 20) +
                                    ", this version reads 2: update libifrnet");
    Manifest manifest;
    manifest.name = data.at("name").as_text();
    if (data.at("backend").as_text() != "ncnn")
        throw std::invalid_argument("it is of backend '" + one_line(data.at("backend").text, 20) +
                                    "', this library runs those of ncnn: export it with --target ncnn");
    manifest.precision = one_of(data.at("precision"), {"fp32", "fp16", "bf16", "int8"});
    manifest.any_timestep = one_of(data.at("timesteps"), {"any", "0.5"}) == "any";
    manifest.size = read_sizes(data.at("sizes"));
    data.at("created").as_text();
    manifest.parity = data.at("parity");
    for (const Json &verdict : manifest.parity.as_list()) check_verdict(verdict);
    const Json *options = table(data, "details").find("options");
    manifest.options = options == nullptr ? Json::object() : table(data.at("details"), "options");
    files = read_files(data);
    manifest.identity = identity_of(data, manifest, files);
    return manifest;
}

void check_model(const Artifact &artifact) {
    const Bytes &param = artifact.file(PARAM), &weights = artifact.file(WEIGHTS);
    try {
        check_network({reinterpret_cast<const char *>(param.data()), param.size()}, weights, artifact.manifest.size);
    } catch (const std::invalid_argument &error) {
        fail(IFRNET_ARTIFACT, "%s: its %s is no network for frames of %s (%s): export it again",
             one_line(artifact.where()).c_str(), PARAM, text_of(artifact.manifest.size).c_str(),
             one_line(error.what()).c_str());
    }
}

void read_checked(Artifact &artifact, const Json &files, const Source &source) {
    for (const auto &field : files.fields) {
        size_t bytes = size_t(field.second.at("bytes").as_whole(0, MAX_FILE));
        Bytes data = source(field.first, bytes);
        if (data.size() != bytes || sha256(data.data(), data.size()) != field.second.at("sha256").text)
            fail(IFRNET_ARTIFACT, "%s/%s has changed since it was exported (sha256 differs): export the artifact again",
                 one_line(artifact.where()).c_str(), field.first.c_str());
        artifact.contents[field.first] = std::move(data);
    }
}

Artifact read_artifact(const std::string &folder, const std::string &where, const Source &source) {
    Artifact artifact;
    artifact.folder = folder;
    Json files;
    Bytes text = source(MANIFEST, MAX_MANIFEST);
    if (text.size() > MAX_MANIFEST)
        fail(IFRNET_ARTIFACT, "%s of %s is larger than the %zu bytes that a manifest may have", MANIFEST,
             one_line(where).c_str(), MAX_MANIFEST);
    try {
        artifact.manifest =
            parse_manifest(parse_json({reinterpret_cast<const char *>(text.data()), text.size()}), files);
    } catch (const std::invalid_argument &error) {
        fail(IFRNET_ARTIFACT, "cannot read %s of %s: %s; export it again", MANIFEST, one_line(where).c_str(),
             one_line(error.what()).c_str());
    }
    read_checked(artifact, files, source);
    check_model(artifact);
    return artifact;
}

bool is_file(const std::string &path) {
    struct stat found;
    return stat(path.c_str(), &found) == 0 && (found.st_mode & S_IFMT) == S_IFREG;
}

// At most `limit` bytes and one more, which tells that there are more.
Bytes read_some(const std::string &path, size_t limit, ifrnet_status status) {
    std::FILE *file = is_file(path) ? std::fopen(path.c_str(), "rb") : nullptr; // no pipe, which would wait for ever
    if (file == nullptr) fail(status, "%s is missing, or cannot be read", one_line(path).c_str());
    Bytes data;
    size_t got = 1;
    while (got > 0 && data.size() <= limit) {
        size_t before = data.size(), room = std::min<size_t>(limit + 1 - before, 1 << 20);
        data.resize(before + room);
        got = std::fread(data.data() + before, 1, room, file);
        data.resize(before + got);
    }
    bool failed = std::ferror(file) != 0;
    std::fclose(file);
    if (failed) fail(status, "%s cannot be read", one_line(path).c_str());
    return data;
}

const ifrnet_file *find(const ifrnet_file *files, size_t count, const std::string &name) {
    for (size_t i = 0; i < count; i++)
        if (name == files[i].name) return &files[i];
    return nullptr;
}

}  // namespace

const Bytes &Artifact::file(const std::string &name) const {
    auto found = contents.find(name);
    if (found == contents.end())
        fail(IFRNET_ARTIFACT, "%s has no %s: export it again", one_line(where()).c_str(), one_line(name).c_str());
    return found->second;
}

Bytes read_file(const std::string &path, size_t limit, ifrnet_status status) {
    Bytes data = read_some(path, limit, status);
    if (data.size() > limit)
        fail(status, "%s is larger than the %zu bytes that it may have", one_line(path).c_str(), limit);
    return data;
}

Artifact read_folder(const std::string &folder) {
    if (!is_file(folder + "/" + MANIFEST))
        fail(IFRNET_ARTIFACT, "%s is not an artifact: it has no %s; make one with python -m export --target ncnn",
             one_line(folder).c_str(), MANIFEST);
    return read_artifact(folder, folder, [&](const std::string &name, size_t limit) {
        return read_some(folder + "/" + name, limit, IFRNET_ARTIFACT);
    });
}

Artifact read_memory(const ifrnet_file *files, size_t count) {
    if (files == nullptr || count > 2 * MAX_FILES)
        fail(IFRNET_ARGUMENT, "%zu files at %p: expected the manifest and what it lists", count,
             static_cast<const void *>(files));
    for (size_t i = 0; i < count; i++)
        if (files[i].name == nullptr || (files[i].data == nullptr && files[i].bytes > 0))
            fail(IFRNET_ARGUMENT, "file %zu of %zu has no name or no data", i, count);
    return read_artifact("", "the artifact in memory", [&](const std::string &name, size_t limit) {
        const ifrnet_file *found = find(files, count, name);
        if (found == nullptr) fail(IFRNET_ARTIFACT, "%s is not among the %zu files", one_line(name).c_str(), count);
        const uint8_t *data = static_cast<const uint8_t *>(found->data);
        return found->bytes > limit ? Bytes(limit + 1) : Bytes(data, data + found->bytes);
    });
}

}  // namespace ifrnet
