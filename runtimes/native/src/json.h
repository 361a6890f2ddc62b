// JSON that nobody has checked. Numbers keep their text, so that what Python wrote is written again byte for byte: the
// identity of an artifact and the checksum of a record are the sha256 of such a text.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ifrnet {

class Json {
public:
    enum class Kind { Null, Boolean, Number, Text, List, Object };

    Kind kind = Kind::Null;
    bool boolean = false;
    std::string text; // of a Text, in UTF-8 (with single surrogates where Python has them), or the digits of a Number
    std::vector<Json> items;                          // of a List
    std::vector<std::pair<std::string, Json>> fields; // of an Object, in their order, each name once

    static Json of(const std::string &text);
    static Json of(const char *text) { return of(std::string(text)); } // a bool otherwise
    static Json of(double value); // as Python's repr; "inf", "-inf", "nan" as a Text, for JSON has none of them
    static Json of(int64_t value);
    static Json of(bool value);
    static Json object();
    static Json list();

    Json &set(const std::string &name, Json value); // of an Object; returns this
    Json &add(Json value);                          // to a List; returns this

    // Each of these throws std::invalid_argument, naming what stands there instead.
    const Json &at(const std::string &name) const;
    const std::string &as_text() const;
    double as_number() const;  // finite
    int64_t as_whole(int64_t low, int64_t high) const;
    const std::vector<Json> &as_list() const;

    const Json *find(const std::string &name) const; // nullptr where it is not there, or this is no Object
};

// Throws std::invalid_argument: no JSON, a name twice in one object, deeper than 64, or not UTF-8.
Json parse_json(std::string_view text);

// As Python's json.dumps(value, sort_keys=True): ASCII, ", " and ": " between.
std::string canonical(const Json &value);

// As Python's json.dumps(value, indent=1) and a line end.
std::string indented(const Json &value);

}  // namespace ifrnet
