#include "json.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "decimal.h"
#include "error.h"

namespace ifrnet {

namespace {

using Kind = Json::Kind;

const char *name_of(const Json &value) {
    switch (value.kind) {
        case Kind::Null: return "null";
        case Kind::Boolean: return "true or false";
        case Kind::Number: return "a number";
        case Kind::Text: return "a text";
        case Kind::List: return "a list";
        case Kind::Object: return "an object";
    }
    return "nothing";
}

[[noreturn]] void expected(const char *what, const Json &found) {
    std::string shown =
        found.kind == Kind::Number || found.kind == Kind::Text ? " (" + one_line(found.text, 40) + ")" : "";
    throw std::invalid_argument(std::string(name_of(found)) + shown + " stands where " + what + " is expected");
}

void write_unit(std::string &out, uint32_t unit) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += "0123456789abcdef"[unit >> shift & 15];
}

// One character of (generalised) UTF-8, moving `at` behind it. The text was checked when it was read.
uint32_t next_code(const std::string &text, size_t &at) {
    auto byte = [&](size_t i) { return i < text.size() ? uint32_t(uint8_t(text[i])) : 0; };
    uint32_t first = byte(at);
    size_t more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    uint32_t code = more == 0 ? first : first & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++) code = code << 6 | (byte(at + i) & 63);
    at += 1 + more;
    return code;
}

void write_text(std::string &out, const std::string &text) {
    static const std::string plain = "\"\\\n\r\t\f\b", letters = "\"\\nrtfb";
    out += '"';
    for (size_t at = 0; at < text.size();) {
        uint32_t code = next_code(text, at);
        size_t special = code < 128 ? plain.find(char(code)) : std::string::npos;
        if (special != std::string::npos) {
            out += '\\';
            out += letters[special];
        } else if (code >= ' ' && code < 127) {
            out += char(code);
        } else if (code < 0x10000) {
            write_unit(out, code);
        } else {
            write_unit(out, 0xd7c0 + (code >> 10));
            write_unit(out, 0xdc00 + (code & 0x3ff));
        }
    }
    out += '"';
}

struct Style {
    bool sorted;
    bool lines; // one a value, indented by its depth
};

void write(std::string &out, const Json &value, Style style, size_t depth);

void write_break(std::string &out, Style style, size_t depth, bool first) {
    if (style.lines) {
        out += first ? "\n" : ",\n";
        out.append(depth, ' ');
    } else if (!first) {
        out += ", ";
    }
}

void write_list(std::string &out, const Json &value, Style style, size_t depth) {
    out += '[';
    for (size_t i = 0; i < value.items.size(); i++) {
        write_break(out, style, depth + 1, i == 0);
        write(out, value.items[i], style, depth + 1);
    }
    if (style.lines && !value.items.empty()) write_break(out, style, depth, true);
    out += ']';
}

void write_object(std::string &out, const Json &value, Style style, size_t depth) {
    std::vector<const std::pair<std::string, Json> *> fields;
    for (const auto &field : value.fields) fields.push_back(&field);
    // bytes of UTF-8 sort as code points do, which is how Python sorts
    if (style.sorted)
        std::sort(fields.begin(), fields.end(), [](const auto *a, const auto *b) { return a->first < b->first; });
    out += '{';
    for (size_t i = 0; i < fields.size(); i++) {
        write_break(out, style, depth + 1, i == 0);
        write_text(out, fields[i]->first);
        out += ": ";
        write(out, fields[i]->second, style, depth + 1);
    }
    if (style.lines && !fields.empty()) write_break(out, style, depth, true);
    out += '}';
}

void write(std::string &out, const Json &value, Style style, size_t depth) {
    switch (value.kind) {
        case Kind::Null: out += "null"; break;
        case Kind::Boolean: out += value.boolean ? "true" : "false"; break;
        case Kind::Number: out += value.text; break;
        case Kind::Text: write_text(out, value.text); break;
        case Kind::List: write_list(out, value, style, depth); break;
        case Kind::Object: write_object(out, value, style, depth); break;
    }
}

}  // namespace

Json Json::of(const std::string &text) {
    Json value;
    value.kind = Kind::Text;
    value.text = text;
    return value;
}

Json Json::of(double number) {
    Json value;
    value.kind = std::isfinite(number) ? Kind::Number : Kind::Text;
    value.text = write_decimal(number);
    return value;
}

Json Json::of(int64_t number) {
    Json value;
    value.kind = Kind::Number;
    value.text = std::to_string(number);
    return value;
}

Json Json::of(bool truth) {
    Json value;
    value.kind = Kind::Boolean;
    value.boolean = truth;
    return value;
}

Json Json::object() {
    Json value;
    value.kind = Kind::Object;
    return value;
}

Json Json::list() {
    Json value;
    value.kind = Kind::List;
    return value;
}

Json &Json::set(const std::string &name, Json value) {
    for (auto &field : fields)
        if (field.first == name) {
            field.second = std::move(value);
            return *this;
        }
    fields.emplace_back(name, std::move(value));
    return *this;
}

Json &Json::add(Json value) {
    items.push_back(std::move(value));
    return *this;
}

const Json *Json::find(const std::string &name) const {
    if (kind != Kind::Object) return nullptr;
    for (const auto &field : fields)
        if (field.first == name) return &field.second;
    return nullptr;
}

const Json &Json::at(const std::string &name) const {
    if (kind != Kind::Object) expected(("an object with '" + name + "'").c_str(), *this);
    if (const Json *found = find(name)) return *found;
    throw std::invalid_argument("it has no '" + name + "'");
}

const std::string &Json::as_text() const {
    if (kind != Kind::Text) expected("a text", *this);
    return text;
}

double Json::as_number() const {
    double number = kind == Kind::Number ? read_decimal(text) : NAN;
    if (!std::isfinite(number)) expected("a number", *this);
    return number;
}

int64_t Json::as_whole(int64_t low, int64_t high) const {
    bool whole =
        kind == Kind::Number && text.size() <= 18 && text.find_first_not_of("-0123456789") == std::string::npos;
    int64_t number = 0;
    for (char digit : whole ? text : "")
        if (digit != '-') number = 10 * number + (digit - '0');
    if (whole && text[0] == '-') number = -number;
    if (!whole || number < low || number > high)
        expected(("a whole number from " + std::to_string(low) + " to " + std::to_string(high)).c_str(), *this);
    return number;
}

const std::vector<Json> &Json::as_list() const {
    if (kind != Kind::List) expected("a list", *this);
    return items;
}

std::string canonical(const Json &value) {
    std::string out;
    write(out, value, {true, false}, 0);
    return out;
}

std::string indented(const Json &value) {
    std::string out;
    write(out, value, {false, true}, 0);
    return out + "\n";
}

}  // namespace ifrnet
