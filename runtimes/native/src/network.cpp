#include "network.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <stdexcept>

#include "decimal.h"
#include "error.h"
#include "shapes.h"

namespace ifrnet {

namespace {

constexpr size_t MAX_PARAM = 1 << 20, MAX_LAYERS = 10000;
constexpr size_t MAX_NAME = 200;          // ncnn cuts names at 255
constexpr double MAX_NUMBER = 1 << 26;    // more weights than IFRNet has, or a larger frame
constexpr int LIST = -23300;              // the key of a list is this minus its number

std::vector<std::string> words_of(const std::string &line) {
    std::vector<std::string> words;
    for (size_t at = line.find_first_not_of(' '); at != std::string::npos; at = line.find_first_not_of(' ', at)) {
        size_t end = std::min(line.find(' ', at), line.size());
        words.push_back(line.substr(at, end - at));
        at = end;
    }
    return words;
}

// Lines of words; ncnn takes more for a space than a line end and a blank, so nothing else may stand there.
std::vector<std::vector<std::string>> lines_of(const std::string &param) {
    if (param.size() > MAX_PARAM) throw std::invalid_argument("it has " + std::to_string(param.size()) + " bytes");
    std::vector<std::vector<std::string>> lines;
    for (size_t at = 0; at < param.size();) {
        size_t end = std::min(param.find('\n', at), param.size());
        std::string line = param.substr(at, end - at);
        for (char c : line)
            if (c < ' ' || c > '~') throw std::invalid_argument("it holds a character that is none of ASCII");
        lines.push_back(words_of(line));
        at = end + 1;
    }
    return lines;
}

bool is_whole(const std::string &text) {
    size_t digits = text.size() > 0 && text[0] == '-' ? 1 : 0;
    return text.size() > digits && text.size() <= 10 &&
           text.find_first_not_of("0123456789", digits) == std::string::npos;
}

// A decimal number with a point or an exponent, as ncnn takes them for floats.
bool is_decimal(const std::string &text) {
    size_t at = text.size() > 0 && text[0] == '-' ? 1 : 0;
    auto digits = [&] {
        size_t begin = at;
        while (at < text.size() && text[at] >= '0' && text[at] <= '9') at++;
        return at - begin;
    };
    size_t before = digits(), after = 0;
    if (at < text.size() && text[at] == '.') at++, after = digits();
    if (before + after == 0 || text.size() > 40) return false;
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        if (at < text.size() && (text[at] == '-' || text[at] == '+')) at++;
        if (digits() == 0) return false;
    }
    return at == text.size();
}

bool is_number(const std::string &text) {
    return (is_whole(text) || is_decimal(text)) && std::fabs(read_decimal(text)) <= MAX_NUMBER;
}

std::vector<std::string> parts_of(const std::string &value) {
    std::vector<std::string> parts;
    for (size_t at = 0; at <= value.size();) {
        size_t end = std::min(value.find(',', at), value.size());
        parts.push_back(value.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}

void check_value(const Layer &layer, int key, const std::string &value) {
    const std::string shown = "has the parameter " + std::to_string(key) + "=" + one_line(value, 20);
    if (!value.empty() && value[0] == '"') {
        bool fine = value.size() >= 2 && value.size() < 200 && value.find('"', 1) == value.size() - 1;
        if (!fine || key <= LIST) refuse(layer, shown);
        return;
    }
    std::vector<std::string> parts = parts_of(value);
    if (key > LIST ? parts.size() != 1 : parts[0] != std::to_string(parts.size() - 1))
        refuse(layer, "has a list of another length than it states");
    for (const std::string &part : parts)
        if (!is_number(part)) refuse(layer, shown);
}

void read_parameter(Layer &layer, const std::string &word) {
    size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    if (equals == std::string::npos || !is_whole(key)) refuse(layer, "has the parameter " + one_line(word, 40));
    const int number = int(std::strtol(key.c_str(), nullptr, 10)), index = number <= LIST ? LIST - number : number;
    if (index < 0 || index > 31) refuse(layer, "has the parameter " + one_line(word, 40));
    for (const auto &other : layer.numbers)
        if (index == (other.first <= LIST ? LIST - other.first : other.first)) refuse(layer, "has a parameter twice");
    check_value(layer, number, word.substr(equals + 1));
    layer.numbers.emplace_back(number, word.substr(equals + 1));
}

size_t count_of(const std::string &word) {
    if (!is_whole(word) || word.size() > 6 || word[0] == '-')
        throw std::invalid_argument("'" + one_line(word, 20) + "' is no count");
    return size_t(std::strtol(word.c_str(), nullptr, 10));
}

Layer read_layer(const std::vector<std::string> &words) {
    if (words.size() < 4) throw std::invalid_argument("a line is none of a layer: " + one_line(words[0], 40));
    Layer layer;
    layer.kind = words[0];
    layer.name = words[1];
    const size_t inputs = count_of(words[2]), outputs = count_of(words[3]);
    if (inputs + outputs > words.size() - 4)
        refuse(layer, "states " + std::to_string(inputs) + " inputs and " + std::to_string(outputs) + " outputs");
    for (size_t i = 4; i < words.size(); i++) {
        if (i < 4 + inputs + outputs && words[i].size() > MAX_NAME) refuse(layer, "has a blob with too long a name");
        if (i < 4 + inputs) {
            layer.inputs.push_back(words[i]);
        } else if (i < 4 + inputs + outputs) {
            layer.outputs.push_back(words[i]);
        } else {
            read_parameter(layer, words[i]);
        }
    }
    if (layer.kind.size() > MAX_NAME || layer.name.size() > MAX_NAME) refuse(layer, "has too long a name");
    return layer;
}

// Reads what a layer before gives and no other layer reads (ncnn forgets a blob once it is read; a Split makes several of
// it), and gives what none before did.
void check_blobs(const Layer &layer, std::set<std::string> &known, std::set<std::string> &read) {
    for (const std::string &blob : layer.inputs) {
        if (known.count(blob) == 0) refuse(layer, "reads the blob " + one_line(blob, 40) + ", which is not there");
        if (!read.insert(blob).second) refuse(layer, "reads the blob " + one_line(blob, 40) + " for the second time");
    }
    for (const std::string &blob : layer.outputs)
        if (!known.insert(blob).second) refuse(layer, "gives the blob " + one_line(blob, 40) + " for the second time");
}

std::vector<Layer> read_layers(const std::string &param) {
    const std::vector<std::vector<std::string>> lines = lines_of(param);
    if (lines.size() < 2 || lines[0] != std::vector<std::string>{"7767517"} || lines[1].size() != 2)
        throw std::invalid_argument("it does not begin with 7767517 and two counts");
    const size_t stated[2] = {count_of(lines[1][0]), count_of(lines[1][1])};
    std::vector<Layer> layers;
    std::set<std::string> known, read;
    for (size_t i = 2; i < lines.size(); i++) {
        if (lines[i].empty()) continue;
        layers.push_back(read_layer(lines[i]));
        check_blobs(layers.back(), known, read);
    }
    if (stated[0] != layers.size() || stated[1] != known.size() || layers.empty() || layers.size() > MAX_LAYERS)
        throw std::invalid_argument(std::to_string(layers.size()) + " layers and " + std::to_string(known.size()) +
                                    " blobs; it states " + std::to_string(stated[0]) + " and " +
                                    std::to_string(stated[1]));
    return layers;
}

// The blobs a half that depends on t takes from the other; see runtimes/graph_cut.py.
struct Graph {
    const std::vector<Layer> &layers;
    std::map<std::string, const Layer *> maker; // blob -> the layer that gives it
    std::set<std::string> early, late;          // depends on the frames only; on t

    explicit Graph(const std::vector<Layer> &all) : layers(all), early{"in0", "in1"}, late{"in2"} {
        for (const Layer &layer : layers)
            for (const std::string &blob : layer.outputs) {
                maker[blob] = &layer;
                auto any = [&](const std::set<std::string> &of) {
                    return std::any_of(layer.inputs.begin(), layer.inputs.end(),
                                       [&](const auto &name) { return of.count(name) > 0; });
                };
                if (any(late)) {
                    late.insert(blob);
                } else if (any(early)) {
                    early.insert(blob);
                }
            }
    }

    std::vector<std::string> early_inputs(const std::string &blob) const {
        std::vector<std::string> found;
        for (const std::string &name : maker.at(blob)->inputs)
            if (early.count(name) > 0) found.push_back(name);
        return found;
    }
};

}  // namespace

int Layer::number(int key, int otherwise) const {
    for (const auto &item : numbers)
        if (item.first == key && is_whole(item.second)) return int(std::strtol(item.second.c_str(), nullptr, 10));
    return otherwise;
}

std::vector<std::string> list_of(const Layer &layer, int key) {
    for (const auto &item : layer.numbers)
        if (item.first == LIST - key) {
            std::vector<std::string> parts = parts_of(item.second);
            parts.erase(parts.begin());
            return parts;
        }
    return {};
}

std::vector<Layer> check_network(const std::string &param, const Bytes &weights, Size frames) {
    std::vector<Layer> layers = read_layers(param);
    for (const Layer &layer : layers) check_parameters(layer);
    check_shapes(layers, weights, frames);
    return layers;
}

std::vector<std::string> encoded_blobs(const std::vector<Layer> &layers) {
    static const std::set<std::string> free = {"Split", "Concat", "Reshape", "Cast", "Noop", "Power"};
    const Graph graph(layers);
    std::vector<std::string> pending;
    for (const Layer &layer : layers)
        for (const std::string &blob : layer.outputs)
            if (graph.late.count(blob) > 0 && blob != "in2")
                for (const std::string &name : graph.early_inputs(blob)) pending.push_back(name);
    std::set<std::string> found, seen;
    while (!pending.empty()) {
        std::string blob = pending.back();
        pending.pop_back();
        if (graph.maker.count(blob) == 0 || !seen.insert(blob).second) continue;
        std::vector<std::string> sources = graph.early_inputs(blob);
        if (blob != "in0" && blob != "in1" && free.count(graph.maker.at(blob)->kind) > 0 && sources.size() == 1) {
            pending.push_back(sources[0]);
        } else {
            found.insert(blob);
        }
    }
    std::vector<std::string> ordered;
    for (const Layer &layer : layers)
        for (const std::string &blob : layer.outputs)
            if (found.count(blob) > 0) ordered.push_back(blob);
    return ordered;
}

}  // namespace ifrnet
