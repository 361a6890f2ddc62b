#include "arguments.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "stop.h"

namespace program {

namespace {

const Option *find(const Command &command, const std::string &name) {
    for (const Option &option : command.options) {
        if (name == option.name || (option.letter && name == option.letter)) return &option;
    }
    return nullptr;
}

std::vector<std::string> names_of(const Command &command) {
    std::vector<std::string> names;
    for (const Option &option : command.options) names.push_back(option.name);
    names.push_back("--help");
    return names;
}

// Levenshtein's: letters to insert, drop or change.
size_t distance(const std::string &a, const std::string &b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); j++) row[j] = j;
    for (size_t i = 1; i <= a.size(); i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); j++) {
            const size_t changed = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
        }
    }
    return row[b.size()];
}

std::string label(const Option &option) {
    std::string text = option.letter ? std::string(option.letter) + ", " : "";
    text += option.name;
    return option.value ? text + " " + option.value : text;
}

void add_lines(std::string &text, const std::vector<Option> &options) {
    size_t width = 0;
    for (const Option &option : options) width = std::max(width, label(option).size());
    for (const Option &option : options) {
        const std::string left = label(option);
        text += "  " + left + std::string(width - left.size() + 2, ' ') + option.help + "\n";
    }
}

}  // namespace

Arguments::Arguments(const Command &command, const std::vector<std::string> &words) {
    for (const std::string &word : words) {
        if (word == "--") break;
        if (word == "--help" || word == "-h") help = true;
    }
    if (help) return;
    bool only_files = false;
    for (size_t i = 0; i < words.size(); i++) {
        const std::string &word = words[i];
        if (only_files || word.size() < 2 || word[0] != '-') {
            files_.push_back(word);
            continue;
        }
        if (word == "--") {
            only_files = true;
            continue;
        }
        const size_t equals = word.compare(0, 2, "--") == 0 ? word.find('=') : std::string::npos;
        const std::string name = word.substr(0, equals);
        const Option *option = find(command, name);
        if (!option) throw usage("there is no option " + name + hint(name, names_of(command)));
        if (has(option->name)) throw usage(name + " is given twice; expected it once");
        if (!option->value && equals != std::string::npos) throw usage(name + " takes no value, got " + word);
        if (option->value && equals == std::string::npos && ++i == words.size()) {
            throw usage(name + " lacks its value; expected " + name + " " + option->value);
        }
        values_[option->name] = !option->value ? "" : equals == std::string::npos ? words[i] : word.substr(equals + 1);
    }
    if (files_.size() > command.files.size()) {
        std::string expected;
        for (const Option &file : command.files) expected += std::string(" ") + file.name;
        throw usage("got " + files_[command.files.size()] + ", one argument too many; expected ifrnet " + command.name +
                    expected + " (a path with spaces needs quotes)");
    }
    if (files_.size() < command.files.size()) {
        const Option &missing = command.files[files_.size()];
        throw usage(std::string(missing.name) + " is missing: " + missing.help);
    }
}

std::string Arguments::text(const std::string &option, const std::string &otherwise) const {
    const auto found = values_.find(option);
    return found == values_.end() ? otherwise : found->second;
}

int Arguments::whole(const std::string &option, int otherwise, int low, int high) const {
    if (!has(option)) return otherwise;
    const std::string given = text(option, "");
    char *end = nullptr;
    errno = 0;
    const long value = std::strtol(given.c_str(), &end, 10);
    if (given.empty() || *end || errno || value < low || value > high) {
        throw usage(option + " is '" + given + "'; expected a whole number from " + std::to_string(low) + " to " +
                    std::to_string(high));
    }
    return static_cast<int>(value);
}

std::string help_of(const Command &command) {
    std::string text = std::string("usage: ifrnet ") + command.name;
    for (const Option &file : command.files) text += std::string(" ") + file.name;
    text += " [options]\n\n" + std::string(command.summary) + "\n\n";
    add_lines(text, command.files);
    std::vector<Option> options = command.options;
    options.push_back({"--help", "-h", nullptr, "show this"});
    text += (command.files.empty() ? "" : "\n");
    add_lines(text, options);
    return command.notes ? text + "\n" + command.notes + "\n" : text;
}

std::string hint(const std::string &word, const std::vector<std::string> &names) {
    const auto nearest = std::min_element(names.begin(), names.end(), [&](const std::string &a, const std::string &b) {
        return distance(word, a) < distance(word, b);
    });
    if (nearest != names.end() && distance(word, *nearest) <= 2) return "; did you mean " + *nearest + "?";
    std::string list = "; expected one of ";
    for (size_t i = 0; i < names.size(); i++) list += (i ? ", " : "") + names[i];
    return list;
}

}  // namespace program
