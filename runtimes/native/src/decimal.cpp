#include "decimal.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace ifrnet {

namespace {

// Digits without a point and the power of ten of the first one: 0.0125 -> "125", -2.
struct Digits {
    std::string text;
    int power;
};

Digits digits_of(double value, int count) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%.*e", count - 1, value);
    Digits digits{"", 0};
    const char *at = buffer;
    for (; *at != '\0' && *at != 'e'; at++)
        if (*at >= '0' && *at <= '9') digits.text += *at;
    if (*at == 'e') digits.power = std::atoi(at + 1);
    return digits;
}

double value_of(const Digits &digits) {
    std::string text = digits.text + "e" + std::to_string(digits.power - int(digits.text.size()) + 1);
    return std::strtod(text.c_str(), nullptr); // without a point, which depends on the locale
}

// The next larger number of as many digits.
Digits above(Digits digits) {
    size_t at = digits.text.size();
    while (at > 0 && digits.text[at - 1] == '9') digits.text[--at] = '0';
    if (at > 0) {
        digits.text[at - 1]++;
    } else {
        digits.text.insert(0, "1").pop_back();
        digits.power++;
    }
    return digits;
}

// The fewest digits that read back as the same double. At a power of two the doubles above lie further apart than those
// below, so that the next larger decimal number may read back where the nearest does not.
Digits shortest(double value) {
    for (int count = 1; count < 17; count++) {
        Digits nearest = digits_of(value, count), next = above(nearest);
        if (value_of(nearest) == value) return nearest;
        if (value_of(next) == value) return next;
    }
    return digits_of(value, 17);
}

}  // namespace

double read_decimal(const std::string &text) {
    std::string digits;
    long power = 0;
    bool after_point = false;
    size_t at = 0;
    for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; at++) {
        if (text[at] == '.') {
            after_point = true;
        } else {
            digits += text[at];
            power -= after_point;
        }
    }
    // beyond a million any number of digits that a file can hold is zero or infinity
    if (at < text.size()) {
        long stated = std::strtol(text.c_str() + at + 1, nullptr, 10);
        power += stated > 100000000 ? 100000000 : stated < -100000000 ? -100000000 : stated;
    }
    return std::strtod((digits + "e" + std::to_string(power)).c_str(), nullptr);
}

std::string write_decimal(double value) {
    if (std::isnan(value)) return "nan";
    std::string sign = std::signbit(value) ? "-" : "";
    value = std::fabs(value);
    if (std::isinf(value)) return sign + "inf";
    if (value == 0.0) return sign + "0.0";

    Digits digits = shortest(value);
    while (digits.text.size() > 1 && digits.text.back() == '0') digits.text.pop_back();

    const int power = digits.power, count = int(digits.text.size());
    if (power < -4 || power >= 16) {
        std::string mantissa = digits.text.substr(0, 1) + (count > 1 ? "." + digits.text.substr(1) : "");
        std::string exponent = std::to_string(std::abs(power));
        return sign + mantissa + (power < 0 ? "e-" : "e+") + (exponent.size() < 2 ? "0" : "") + exponent;
    }
    if (power < 0) return sign + "0." + std::string(size_t(-power - 1), '0') + digits.text;
    if (count <= power + 1) return sign + digits.text + std::string(size_t(power + 1 - count), '0') + ".0";
    return sign + digits.text.substr(0, size_t(power + 1)) + "." + digits.text.substr(size_t(power + 1));
}

std::string print_decimal(const char *format, double value) {
    char buffer[400];
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#endif
    std::snprintf(buffer, sizeof buffer, format, value);
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
    std::string text = buffer;
    for (char &c : text)
        if (c == ',') c = '.';
    return text;
}

}  // namespace ifrnet
