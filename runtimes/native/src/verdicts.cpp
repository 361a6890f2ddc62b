#include "verdicts.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <stdexcept>

#include "decimal.h"
#include "error.h"
#include "replace.h"
#include "sha256.h"

namespace ifrnet {

namespace {

constexpr const char *FILE_NAME = "verdicts.json";
constexpr size_t LIMIT = 1 << 20, MAX_RECORDS = 64;

struct Record {
    std::string artifact, backend;
    Conditions conditions;
    Belief::Verdict verdict;
    std::string reason, created;
    Json entry; // as it stands in the file
};

Belief::Verdict verdict_of(const std::string &name) {
    if (name == "passed") return Belief::Passed;
    if (name == "failed") return Belief::Failed;
    if (name == "not run") return Belief::NotRun;
    if (name == "file checked" || name == "passed (emulated)") return Belief::NotRun; // no device ran it
    throw std::invalid_argument("it knows no verdict '" + one_line(name, 20) + "'");
}

std::string checksum_of(const Json &entry) {
    Json rest = Json::object();
    for (const auto &field : entry.fields)
        if (field.first != "checksum") rest.fields.push_back(field);
    std::string text = canonical(rest);
    return sha256(text.data(), text.size());
}

Record read_record(const Json &entry) {
    if (entry.at("checksum").as_text() != checksum_of(entry))
        throw std::invalid_argument("a record was changed after it was written (its checksum differs)");
    Record record;
    record.artifact = entry.at("artifact").as_text();
    record.backend = entry.at("backend").as_text();
    record.conditions = {entry.at("device").as_text(), entry.at("arithmetic").as_text(),
                         Machine::parse(entry.at("machine"))};
    record.verdict = verdict_of(entry.at("verdict").as_text());
    record.reason = entry.at("reason").as_text();
    record.created = entry.at("created").as_text();
    entry.at("results").as_list();
    record.entry = entry;
    return record;
}

// Every record up to the first damaged one; none where there is no file.
void read_records(const std::string &path, std::vector<Record> &found) {
    try {
        Bytes data = read_file(path, LIMIT);
        Json whole = parse_json({reinterpret_cast<const char *>(data.data()), data.size()});
        whole.at("format").as_whole(1, 1);
        const std::vector<Json> &entries = whole.at("records").as_list();
        for (size_t i = 0; i < entries.size() && i < MAX_RECORDS; i++) found.push_back(read_record(entries[i]));
    } catch (const Error &) {
        return; // it is not there, or not readable
    } catch (const std::invalid_argument &) {
        return; // it is damaged
    }
}

std::string beside(const Artifact &artifact) { return artifact.folder + "/" + FILE_NAME; }

std::string cached(const Artifact &artifact, const std::string &cache) {
    return cache + "/verdicts/" + artifact.manifest.identity + ".json";
}

// Those beside the artifact, then those in the cache.
std::vector<Record> all_records(const Artifact &artifact, const std::string &cache) {
    std::vector<Record> found;
    if (!artifact.folder.empty()) read_records(beside(artifact), found);
    if (!cache.empty()) read_records(cached(artifact, cache), found);
    return found;
}

bool same(const Record &record, const Artifact &artifact, const Conditions &here) {
    return record.artifact == artifact.manifest.identity && record.backend == BACKEND &&
           record.conditions.device == here.device && record.conditions.arithmetic == here.arithmetic &&
           record.conditions.machine == here.machine;
}

std::string kind_of(const std::string &device) { return device.substr(0, device.find_first_of(":.")); }

// Why a verdict of the manifest does not hold here; "" when it does.
std::string difference(const Json &found, const Conditions &here, const std::string &kind) {
    const std::string &arithmetic = found.at("arithmetic").as_text();
    if (arithmetic != here.arithmetic) return "proved in " + arithmetic + ", " + here.arithmetic + " runs here";
    if (found.at("machine").kind == Json::Kind::Null)
        return "proved on a " + kind + " that the manifest does not describe";
    return here.machine.difference(Machine::parse(found.at("machine")), kind);
}

Belief of_manifest(const Artifact &artifact, const Conditions &here) {
    const std::string kind = kind_of(here.device);
    std::vector<const Json *> alike;
    for (const Json &found : artifact.manifest.parity.items)
        if (kind_of(found.at("device").as_text()) == kind) alike.push_back(&found);
    for (const Json *found : alike) // before any that passed: the manifest may name another device of the kind first
        if (verdict_of(found->at("verdict").as_text()) == Belief::Failed)
            return {Belief::Failed, found->at("reason").as_text(), false};
    std::string reason;
    for (const Json *found : alike) {
        std::string why = found->at("reason").as_text();
        if (verdict_of(found->at("verdict").as_text()) == Belief::Passed) {
            why = difference(*found, here, kind);
            if (why.empty()) return {Belief::Passed, "", false};
        }
        if (reason.empty()) reason = why;
    }
    return {Belief::NotRun, reason.empty() ? "never compared on " + here.device : reason, false};
}

std::string now() {
    std::time_t seconds = std::time(nullptr);
    std::tm utc{};
#if defined(_WIN32)
    gmtime_s(&utc, &seconds);
#else
    gmtime_r(&seconds, &utc);
#endif
    char text[40];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+00:00", &utc);
    return text;
}

Json result_of(const Comparison &found) {
    Json result = Json::object();
    result.set("size", Json::of(std::to_string(found.size.width) + "x" + std::to_string(found.size.height)));
    result.set("t", Json::of(found.t)).set("together", Json::of(found.together));
    result.set("max_error", Json::of(found.max_error)).set("psnr", Json::of(found.psnr));
    result.set("block_error", Json::of(found.block_error)).set("trouble", Json::of(found.trouble));
    return result;
}

Json entry_of(const Artifact &artifact, const Conditions &here, const std::vector<Comparison> &comparisons,
              const std::string &trouble) {
    Json results = Json::list(), entry = Json::object();
    for (const Comparison &found : comparisons) results.add(result_of(found));
    entry.set("artifact", Json::of(artifact.manifest.identity)).set("backend", Json::of(BACKEND));
    entry.set("device", Json::of(here.device)).set("arithmetic", Json::of(here.arithmetic));
    entry.set("machine", here.machine.to_json()).set("verdict", Json::of(trouble.empty() ? "passed" : "failed"));
    entry.set("reason", Json::of(trouble)).set("created", Json::of(now())).set("results", std::move(results));
    std::string checksum = checksum_of(entry);
    return entry.set("checksum", Json::of(checksum));
}

}  // namespace

Belief believed(const Artifact &artifact, const Conditions &conditions, const std::string &cache) {
    const std::vector<Record> records = all_records(artifact, cache);
    const Record *newest = nullptr;
    for (const Record &record : records)
        if (same(record, artifact, conditions) && (newest == nullptr || record.created > newest->created))
            newest = &record;
    if (newest != nullptr) return {newest->verdict, newest->reason, true};
    Belief belief = of_manifest(artifact, conditions);
    if (belief.verdict == Belief::NotRun && !records.empty())
        belief.reason += "; verdicts.json holds verdicts of other conditions only (another machine, device, version or "
                         "arithmetic)";
    return belief;
}

std::string reason_of(const std::vector<Comparison> &comparisons) {
    std::string text;
    for (const Comparison &found : comparisons) {
        if (found.trouble.empty()) continue;
        text += (text.empty() ? "at " : "; at ") + std::to_string(found.size.width) + "x" +
                std::to_string(found.size.height) + ", t = " + write_decimal(found.t) +
                (found.together ? " of several at once: " : ": ") + found.trouble;
    }
    return text;
}

std::string keep(const Artifact &artifact, const Conditions &conditions, const std::vector<Comparison> &comparisons,
                 const std::string &trouble, const std::optional<std::string> &cache) {
    std::vector<Json> entries;
    for (Record &record : all_records(artifact, cache.value_or("")))
        if (!same(record, artifact, conditions)) entries.push_back(std::move(record.entry));
    entries.push_back(entry_of(artifact, conditions, comparisons, trouble));
    Json kept = Json::list(), whole = Json::object();
    size_t first = entries.size() > MAX_RECORDS ? entries.size() - MAX_RECORDS : 0;
    for (size_t i = first; i < entries.size(); i++) kept.add(std::move(entries[i]));
    whole.set("format", Json::of(int64_t(1))).set("records", std::move(kept));
    const std::string text = indented(whole);

    std::string why = "it was opened from memory";
    if (!artifact.folder.empty() && (why = replace_file(beside(artifact), text)).empty()) return "";
    if (cache == "") return ""; // the caller keeps nothing elsewhere
    std::string again = "neither HOME nor options.cache is set";
    if (cache) {
        make_folders(*cache + "/verdicts");
        again = replace_file(cached(artifact, *cache), text);
        if (again.empty()) return "";
        again = "in " + one_line(*cache) + ": " + again;
    }
    // What to do comes first: ifrnet_info cuts a long reason.
    return "the verdict could not be kept and holds for this runtime alone: let options.cache or IFRNET_CACHE name a "
           "folder that can be written (beside " +
           one_line(artifact.where()) + ": " + why + "; " + again + ")";
}

std::optional<std::string> default_cache() {
    const char *stated = std::getenv("IFRNET_CACHE"), *home = std::getenv("HOME");
    if (stated != nullptr && *stated != '\0') return stated;
    if (home == nullptr || *home == '\0') return std::nullopt;
    return std::string(home) + "/.cache/ifrnet";
}

}  // namespace ifrnet
