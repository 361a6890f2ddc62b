// What ends a call: a status of the C ABI and a sentence. Thrown inside the library, never across its border.
#pragma once
#include <exception>
#include <string>
#include <utility>

#include "ifrnet.h"

namespace ifrnet {

class Error : public std::exception {
public:
    Error(ifrnet_status code, std::string text) : status(code), message(std::move(text)) {}
    const char *what() const noexcept override { return message.c_str(); }

    const ifrnet_status status;
    const std::string message;
};

// Throws Error with a sentence made as by printf: what was got, what is expected, what to do.
[[noreturn]] void fail(ifrnet_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

// A text of unknown origin in one line: control characters and what is no ASCII become '?', at most `most` bytes.
std::string one_line(const std::string &text, size_t most = 200);

}  // namespace ifrnet
