// ifrnet interpolate: the frames between two images.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "commands.h"
#include "ifrnet.h"
#include "images.h"
#include "session.h"
#include "stop.h"

namespace program {

namespace {

const std::string SUFFIX = ".png";

std::string artifact_folder(const Arguments &arguments) {
    if (arguments.has("--artifact")) return arguments.text("--artifact", "");
    const char *variable = std::getenv("IFRNET_ARTIFACT");
    if (variable && *variable) return variable;
    throw usage("no artifact is named: pass --artifact DIR or set IFRNET_ARTIFACT; "
                "python -m export --target ncnn --size 1280x720 makes one");
}

// "0.25" or "1/3". Whether the artifact serves it is the library's to say.
float timestep(const std::string &text) {
    const std::string expected = "t is '" + text + "'; expected numbers between 0 and 1, such as 0.5 or 1/4,1/2,3/4";
    char *end = nullptr;
    double value = std::strtod(text.c_str(), &end);
    if (end == text.c_str()) throw usage(expected);
    if (*end == '/') {
        const char *below = end + 1;
        value /= std::strtod(below, &end);
        if (end == below) throw usage(expected);
    }
    if (*end || !(value > 0.0 && value < 1.0)) throw usage(expected);
    return static_cast<float>(value);
}

std::vector<float> timesteps(const std::string &list) {
    std::vector<float> steps;
    size_t begin = 0;
    while (true) {
        const size_t comma = list.find(',', begin);
        steps.push_back(timestep(list.substr(begin, comma - begin)));
        if (comma == std::string::npos) return steps;
        begin = comma + 1;
    }
}

// OUT, or OUT with _1, _2, ... before its suffix. Throws Stop: no PNG, or it exists and --force was not passed.
std::vector<std::string> outputs(const Arguments &arguments, size_t count) {
    if (!arguments.has("--output")) throw usage("-o OUT is missing; expected the PNG file to write");
    const std::string out = arguments.text("--output", "");
    const bool png = out.size() > SUFFIX.size() && out.compare(out.size() - SUFFIX.size(), SUFFIX.size(), SUFFIX) == 0;
    if (!png) throw usage("the output is " + out + "; expected a name that ends in .png, the one kind that is written");
    std::vector<std::string> paths;
    for (size_t i = 1; i <= count; i++) {
        const std::string number = count == 1 ? "" : "_" + std::to_string(i);
        paths.push_back(out.substr(0, out.size() - SUFFIX.size()) + number + SUFFIX);
        if (exists(paths.back()) && !arguments.has("--force")) {
            throw usage(paths.back() + " exists: pass --force to replace it, or name another output");
        }
    }
    return paths;
}

int run(const Arguments &arguments) {
    const std::vector<float> steps = timesteps(arguments.text("--t", "0.5"));
    const std::vector<std::string> paths = outputs(arguments, steps.size());
    const ifrnet_unproven wanted = unproven(arguments);
    const std::string folder = artifact_folder(arguments);
    Picture first = read_picture(arguments.file(0)), second = read_picture(arguments.file(1));
    if (first.transparent || second.transparent) warn("transparency is left out: python -m runtimes video keeps it");
    const Session session(folder, arguments, wanted);
    std::vector<Picture> between(steps.size(), Picture{first.width, first.height, {}});
    std::vector<ifrnet_image> images;
    for (Picture &picture : between) {
        picture.rgb.resize(first.rgb.size());
        images.push_back(rgb(picture.rgb.data(), picture.width, picture.height));
    }
    const ifrnet_image img0 = rgb(first.rgb.data(), first.width, first.height);
    const ifrnet_image img1 = rgb(second.rgb.data(), second.width, second.height);
    must(ifrnet_interpolate(session.runtime(), &img0, &img1, steps.data(), steps.size(), images.data()));
    const ifrnet_info &info = session.info();
    for (size_t i = 0; i < steps.size(); i++) {
        write_png(between[i], paths[i]);
        std::printf("%s: t = %g, %s on %s (%s)%s\n", paths[i].c_str(), static_cast<double>(steps[i]), info.name,
                    info.device, info.arithmetic, info.proven > 0 ? "" : ", not proven here");
    }
    return FINE;
}

}  // namespace

const Command INTERPOLATE = {
    "interpolate",
    "make the frames between two images",
    {{"A", nullptr, nullptr, "image at t = 0 (PNG, JPEG or BMP)"},
     {"B", nullptr, nullptr, "image at t = 1, of the same size"}},
    {{"--output", "-o", "OUT", "PNG file to write, required; with several t OUT_1.png, OUT_2.png, ..."},
     {"--artifact", nullptr, "DIR", "artifact folder (default: the environment variable IFRNET_ARTIFACT)"},
     {"--t", "-t", "T", "between 0 and 1, or several: 1/4,1/2,3/4 (default: 0.5)"},
     {"--force", nullptr, nullptr, "replace the output"},
     PROVE,
     UNPROVEN,
     DEVICE,
     THREADS},
    nullptr,
    run,
};

}  // namespace program
