// Decimal numbers in text, whatever the locale of the host is.
#pragma once
#include <string>

namespace ifrnet {

// A decimal number as in JSON ("-1.5e-3", "12"); the nearest double, infinite where it is too large.
double read_decimal(const std::string &text);

// As Python's repr: the fewest digits that read back as the same double; "inf", "-inf", "nan".
std::string write_decimal(double value);

// As printf with one double, with a point for the decimal point.
std::string print_decimal(const char *format, double value);

}  // namespace ifrnet
