// The text of unknown origin -> Json.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "decimal.h"
#include "json.h"

namespace ifrnet {

namespace {

constexpr int MAX_DEPTH = 64;
constexpr size_t MAX_VALUES = 1 << 18; // a value takes a hundred bytes of memory, and may take two of the text
constexpr size_t MAX_DIGITS = 4300;    // as Python

[[noreturn]] void refuse(const char *what, size_t at) {
    throw std::invalid_argument(std::string(what) + " at byte " + std::to_string(at));
}

void append_code(std::string &out, uint32_t code) {
    if (code < 0x80) {
        out += char(code);
    } else if (code < 0x800) {
        out += char(0xc0 | code >> 6);
        out += char(0x80 | (code & 63));
    } else if (code < 0x10000) { // half a surrogate pair too, which Python keeps
        out += char(0xe0 | code >> 12);
        out += char(0x80 | (code >> 6 & 63));
        out += char(0x80 | (code & 63));
    } else {
        out += char(0xf0 | code >> 18);
        out += char(0x80 | (code >> 12 & 63));
        out += char(0x80 | (code >> 6 & 63));
        out += char(0x80 | (code & 63));
    }
}

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    Json whole() {
        Json value = this->value(0);
        skip();
        if (at_ < text_.size()) refuse("something follows the JSON", at_);
        return value;
    }

private:
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    bool take(char c) {
        if (at_ >= text_.size() || text_[at_] != c) return false;
        at_++;
        return true;
    }

    void skip() {
        while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) at_++;
    }

    Json value(int depth) {
        if (++values_ > MAX_VALUES) refuse("there are too many values", at_);
        skip();
        char c = peek();
        if (c == '{' || c == '[') {
            if (depth >= MAX_DEPTH) refuse("it is nested deeper than 64 levels", at_);
            return c == '{' ? object(depth + 1) : list(depth + 1);
        }
        if (c == '"') return Json::of(string());
        if (c == '-' || (c >= '0' && c <= '9')) return number();
        if (word("true")) return Json::of(true);
        if (word("false")) return Json::of(false);
        if (word("null")) return Json();
        refuse("no JSON value", at_);
    }

    bool word(std::string_view expected) {
        if (text_.substr(at_, expected.size()) != expected) return false;
        at_ += expected.size();
        return true;
    }

    Json list(int depth) {
        Json found = Json::list();
        at_++;
        skip();
        if (take(']')) return found;
        do {
            found.items.push_back(value(depth));
            skip();
        } while (take(','));
        if (!take(']')) refuse("a list does not end", at_);
        return found;
    }

    Json object(int depth) {
        Json found = Json::object();
        at_++;
        skip();
        if (take('}')) return found;
        do {
            skip();
            if (peek() != '"') refuse("no name in an object", at_);
            std::string name = string();
            skip();
            if (!take(':')) refuse("no colon behind a name", at_);
            found.fields.emplace_back(std::move(name), value(depth));
            skip();
        } while (take(','));
        if (!take('}')) refuse("an object does not end", at_);
        check_names(found);
        return found;
    }

    void check_names(const Json &found) const {
        std::vector<std::string_view> names;
        for (const auto &field : found.fields) names.push_back(field.first);
        std::sort(names.begin(), names.end());
        if (std::adjacent_find(names.begin(), names.end()) != names.end())
            refuse("a name stands twice in an object", at_);
    }

    size_t digits() {
        size_t begin = at_;
        while (peek() >= '0' && peek() <= '9') at_++;
        if (at_ == begin) refuse("no digit in a number", at_);
        return at_ - begin;
    }

    // Kept as Python would write it again.
    Json number() {
        size_t begin = at_;
        take('-');
        bool zero = peek() == '0';
        size_t count = digits();
        if ((zero && count > 1) || count > MAX_DIGITS) refuse("a number that is none", begin);
        bool whole = true;
        if (take('.')) digits(), whole = false;
        if (peek() == 'e' || peek() == 'E') {
            at_++;
            if (!take('-')) take('+');
            digits(), whole = false;
        }
        std::string text(text_.substr(begin, at_ - begin));
        Json found;
        found.kind = Json::Kind::Number;
        if (whole) {
            found.text = text == "-0" ? "0" : text;
            return found;
        }
        double number = read_decimal(text);
        if (!std::isfinite(number)) refuse("a number is too large", begin);
        found.text = write_decimal(number);
        return found;
    }

    uint32_t hexadecimal() {
        uint32_t code = 0;
        for (int i = 0; i < 4; i++, at_++) {
            char c = peek();
            int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
            if (digit < 0) refuse("no hexadecimal digit", at_);
            code = code << 4 | uint32_t(digit);
        }
        return code;
    }

    void escape(std::string &out) {
        static const std::string letters = "\"\\/bfnrt", plain = "\"\\/\b\f\n\r\t";
        char c = peek();
        at_++;
        size_t found = letters.find(c);
        if (c != '\0' && found != std::string::npos) {
            out += plain[found];
            return;
        }
        if (c != 'u') refuse("an escape that is none", at_);
        uint32_t code = hexadecimal();
        if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_, 2) == "\\u") {
            size_t before = at_;
            at_ += 2;
            uint32_t low = hexadecimal();
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
            } else {
                at_ = before;
            }
        }
        append_code(out, code);
    }

    // A character of several bytes: not longer than needed, no surrogate, none beyond Unicode.
    void utf8(std::string &out) {
        size_t begin = at_;
        uint32_t first = uint8_t(text_[at_++]);
        int more = first >= 0xc2 && first < 0xe0   ? 1
                   : first >= 0xe0 && first < 0xf0 ? 2
                   : first >= 0xf0 && first < 0xf5 ? 3
                                                   : 0;
        if (more == 0) refuse("it is not UTF-8", begin);
        uint32_t code = first & (0x3fu >> more);
        for (int i = 0; i < more; i++, at_++) {
            uint32_t byte = uint8_t(peek());
            if ((byte & 0xc0) != 0x80) refuse("it is not UTF-8", begin);
            code = code << 6 | (byte & 63);
        }
        static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            refuse("it is not UTF-8", begin);
        append_code(out, code);
    }

    std::string string() {
        std::string out;
        at_++;
        while (at_ < text_.size()) {
            uint8_t c = uint8_t(text_[at_]);
            if (c == '"') {
                at_++;
                return out;
            }
            if (c < ' ') refuse("a control character in a text", at_);
            if (c == '\\') {
                at_++;
                escape(out);
            } else if (c < 0x80) {
                out += char(c);
                at_++;
            } else {
                utf8(out);
            }
        }
        refuse("a text does not end", at_);
    }

    std::string_view text_;
    size_t at_ = 0, values_ = 0;
};

}  // namespace

Json parse_json(std::string_view text) { return Parser(text).whole(); }

}  // namespace ifrnet
