// The command line: one table a command, from which its help is made, and against which arguments are held.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace program {

struct Option {
    const char *name;   // "--device"
    const char *letter; // "-o", or nullptr
    const char *value;  // "DIR" in the help; nullptr for an option without a value
    const char *help;
};

class Arguments;

struct Command {
    const char *name, *summary;
    std::vector<Option> files; // arguments without an option's name, in their order: name, nullptr, nullptr, help
    std::vector<Option> options;
    const char *notes; // at the end of the help, or nullptr
    int (*run)(const Arguments &);
};

// What the user passed to a command.
class Arguments {
public:
    // Throws Stop: an option that is not there, twice, or without its value; a file too many or too few.
    Arguments(const Command &command, const std::vector<std::string> &words);

    const std::string &file(size_t index) const { return files_[index]; }
    bool has(const std::string &option) const { return values_.count(option) != 0; }

    // The value of an option, or `otherwise`.
    std::string text(const std::string &option, const std::string &otherwise) const;

    // A whole number from low to high. Throws Stop.
    int whole(const std::string &option, int otherwise, int low, int high) const;

    bool help = false; // --help or -h was among them; the rest was not looked at

private:
    std::vector<std::string> files_;
    std::map<std::string, std::string> values_;
};

std::string help_of(const Command &command);

// "; did you mean X?", or "; expected one of X, Y".
std::string hint(const std::string &word, const std::vector<std::string> &names);

}  // namespace program
