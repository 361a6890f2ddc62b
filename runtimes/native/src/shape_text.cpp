// The shape that a Reshape states as a text: ncnn's src/expression.cpp without what no exporter of ours writes.
#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "decimal.h"
#include "error.h"
#include "shapes.h"

namespace ifrnet {

namespace {

// A list of sides: numbers, 0w 0h 0c 0n of the input, and prefix + - * // of them.
class ShapeText {
public:
    ShapeText(const Layer &layer, std::string text, const Shape &in) : layer_(layer), text_(std::move(text)), in_(in) {}

    std::vector<int64_t> list() {
        std::vector<int64_t> found;
        do found.push_back(value(0));
        while (take(','));
        if (at_ != text_.size()) bad();
        return found;
    }

private:
    [[noreturn]] void bad() const {
        refuse(layer_, "has the shape " + one_line(text_, 60) + ", which this library does not know");
    }

    bool take(char c) {
        if (at_ >= text_.size() || text_[at_] != c) return false;
        at_++;
        return true;
    }

    int64_t value(int depth) {
        size_t end = std::min(text_.find_first_of("(),", at_), text_.size());
        const std::string word = text_.substr(at_, end - at_);
        at_ = end;
        if (depth > 8 || word.empty()) bad();
        if (word == "0w" || word == "0h" || word == "0c")
            return word[1] == 'w' ? in_.w : word[1] == 'h' ? in_.h : in_.c;
        if (word == "0n") return 1;
        bool whole = word.size() <= 8 && word.find_first_not_of("0123456789") == std::string::npos;
        if (whole || word == "-1") return int64_t(read_decimal(word));
        if (!take('(')) bad();
        int64_t a = value(depth + 1);
        if (!take(',')) bad();
        int64_t b = value(depth + 1);
        if (!take(')')) bad();
        return applied(word, a, b);
    }

    int64_t applied(const std::string &word, int64_t a, int64_t b) const {
        if (std::abs(a) > MAX_VALUES || std::abs(b) > MAX_VALUES) bad();
        if (word == "+") return a + b;
        if (word == "-") return a - b;
        if (word == "*") return a * b;
        if (word == "//" && b != 0) return a / b;
        bad();
    }

    const Layer &layer_;
    const std::string text_;
    const Shape &in_;
    size_t at_ = 0;
};

}  // namespace

std::vector<int64_t> read_shape(const Layer &layer, const std::string &text, const Shape &in) {
    return ShapeText(layer, text, in).list();
}

}  // namespace ifrnet
