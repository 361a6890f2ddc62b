// Files that are there whole or not at all: a temporary name, then a rename.
#pragma once
#include <string>

namespace ifrnet {

// Writes a file in one step: a reader finds the old one or the new one. Returns why it could not; "" when it did.
std::string replace_file(const std::string &path, const std::string &text);

// The folder and those above it; those that cannot be made show when a file is written there.
void make_folders(const std::string &path);

}  // namespace ifrnet
