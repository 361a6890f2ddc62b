// What ends the program before its work is done: an exit code and one line for standard error.
#pragma once
#include <exception>
#include <string>
#include <utility>

namespace program {

enum Exit { FINE = 0, USER_ERROR = 1, PARITY_FAILED = 2, BUG = 3 };

class Stop : public std::exception {
public:
    Stop(Exit exit, std::string text) : code(exit), message(std::move(text)) {}
    const char *what() const noexcept override { return message.c_str(); }

    const Exit code;
    const std::string message;
};

// A mistake of the user's.
inline Stop usage(std::string message) { return Stop(USER_ERROR, std::move(message)); }

}  // namespace program
