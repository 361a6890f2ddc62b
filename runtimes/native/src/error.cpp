#include "error.h"

#include <cstdarg>
#include <cstdio>

namespace ifrnet {

void fail(ifrnet_status status, const char *format, ...) {
    char text[1024]; // longer ones are cut: a sentence, not a file
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Error(status, text);
}

std::string one_line(const std::string &text, size_t most) {
    std::string line = text.substr(0, most);
    for (char &c : line) c = c >= ' ' && c <= '~' ? c : '?';
    return line;
}

}  // namespace ifrnet
