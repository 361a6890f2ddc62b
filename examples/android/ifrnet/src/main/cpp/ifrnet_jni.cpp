// The functions of ifrnet.Native over the C ABI. No exception of C++ leaves this file; failures become those of Java.
#include <jni.h>

#include <algorithm>
#include <new>
#include <string>
#include <vector>

#include "ifrnet.h"

namespace {

constexpr int PLANES = 3;
constexpr size_t NUMBERS = 9;           // of an image, see Frame.numbers
constexpr size_t MOST_COMPARISONS = 64; // of a proof; it has about ten

// The Kotlin class of each status.
const char *class_of(ifrnet_status status) {
    switch (status) {
        case IFRNET_ARTIFACT: return "ifrnet/ArtifactError";
        case IFRNET_BACKEND: return "ifrnet/BackendError";
        case IFRNET_PARITY: return "ifrnet/ParityError";
        case IFRNET_FRAME: return "ifrnet/FrameError";
        case IFRNET_TIMESTEP: return "ifrnet/TimestepError";
        case IFRNET_MEMORY: return "ifrnet/MemoryError";
        case IFRNET_CANCELLED: return "ifrnet/CancelledError";
        case IFRNET_INTERNAL: return "ifrnet/InternalError";
        default: return "ifrnet/RuntimesError";
    }
}

// What ends a native function; a Java exception may be pending then.
struct Thrown {};

void throw_java(JNIEnv *env, ifrnet_status status, std::string message) {
    if (env->ExceptionCheck()) return;
    // JNI takes a UTF-8 of its own, and ends the process where it is given another.
    std::replace_if(message.begin(), message.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    if (jclass kind = env->FindClass(class_of(status))) env->ThrowNew(kind, message.c_str());
}

[[noreturn]] void fail(JNIEnv *env, ifrnet_status status, const std::string &message) {
    throw_java(env, status, message);
    throw Thrown();
}

void check(JNIEnv *env, ifrnet_status status) {
    if (status != IFRNET_OK) fail(env, status, ifrnet_error());
}

// Of a call into the JVM that may have thrown.
void check_java(JNIEnv *env) {
    if (env->ExceptionCheck()) throw Thrown();
}

// Runs a native function's body; its result is 0 where a Java exception is pending.
template <typename Body>
auto guarded(JNIEnv *env, Body body) noexcept -> decltype(body()) {
    try {
        return body();
    } catch (const Thrown &) {
    } catch (const std::bad_alloc &) {
        throw_java(env, IFRNET_MEMORY, "no memory for the call: close what is not needed");
    } catch (...) {
        throw_java(env, IFRNET_INTERNAL, "ifrnet_jni.cpp caught an exception that it does not know: report it");
    }
    return decltype(body())();
}

std::string text(JNIEnv *env, jbyteArray bytes) {
    std::string result(static_cast<size_t>(env->GetArrayLength(bytes)), '\0');
    env->GetByteArrayRegion(bytes, 0, static_cast<jsize>(result.size()), reinterpret_cast<jbyte *>(&result[0]));
    check_java(env);
    return result;
}

std::vector<jint> whole_numbers(JNIEnv *env, jintArray array) {
    std::vector<jint> result(static_cast<size_t>(env->GetArrayLength(array)));
    env->GetIntArrayRegion(array, 0, static_cast<jsize>(result.size()), result.data());
    check_java(env);
    return result;
}

jobjectArray strings(JNIEnv *env, const std::vector<const char *> &texts) {
    jclass kind = env->FindClass("java/lang/String");
    check_java(env);
    jobjectArray array = env->NewObjectArray(static_cast<jsize>(texts.size()), kind, nullptr);
    check_java(env);
    for (size_t i = 0; i < texts.size(); i++) {
        std::string plain = texts[i];
        std::replace_if(plain.begin(), plain.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
        jstring element = env->NewStringUTF(plain.c_str());
        check_java(env);
        env->SetObjectArrayElement(array, static_cast<jsize>(i), element);
        env->DeleteLocalRef(element);
    }
    return array;
}

struct Memory {
    uint8_t *data = nullptr;
    size_t bytes = 0;
};

Memory direct(JNIEnv *env, jobject buffer, const std::string &what) {
    Memory memory;
    memory.data = static_cast<uint8_t *>(env->GetDirectBufferAddress(buffer));
    if (memory.data == nullptr) fail(env, IFRNET_FRAME, what + " is no direct ByteBuffer");
    memory.bytes = static_cast<size_t>(env->GetDirectBufferCapacity(buffer));
    return memory;
}

// U and V as two buffers over the same memory, one byte apart: together they cover the plane.
void join(JNIEnv *env, ifrnet_image &image, const std::string &what) {
    const bool shared = image.layout == IFRNET_NV12 || image.layout == IFRNET_NV21;
    if (!shared || image.plane[2] == nullptr) return;
    const uint8_t *first = static_cast<uint8_t *>(image.plane[1]);
    if (image.plane[2] != first + 1 || image.bytes[1] == 0)
        fail(env, IFRNET_FRAME, what + ": the second of U and V must begin one byte after the first");
    image.bytes[1] = std::max(image.bytes[1], image.bytes[2] + 1);
    image.plane[2] = nullptr;
    image.bytes[2] = 0;
}

ifrnet_image read_image(JNIEnv *env, jobjectArray planes, const jint *numbers, size_t index) {
    ifrnet_image image = {};
    image.size = sizeof image;
    image.layout = numbers[0];
    image.width = numbers[1];
    image.height = numbers[2];
    image.matrix = numbers[6];
    image.range = numbers[7];
    image.chroma = numbers[8];
    const std::string what = "image " + std::to_string(index);
    for (int i = 0; i < PLANES; i++) {
        jobject buffer = env->GetObjectArrayElement(planes, static_cast<jsize>(index) * PLANES + i);
        check_java(env);
        if (buffer == nullptr) continue;
        const Memory memory = direct(env, buffer, what + ", plane " + std::to_string(i));
        env->DeleteLocalRef(buffer); // the array keeps it
        image.plane[i] = memory.data;
        image.stride[i] = numbers[3 + i];
        image.bytes[i] = memory.bytes;
    }
    join(env, image, what);
    return image;
}

std::vector<ifrnet_image> read_images(JNIEnv *env, jobjectArray planes, jintArray numbers, size_t count) {
    const std::vector<jint> all = whole_numbers(env, numbers);
    if (all.size() != count * NUMBERS || static_cast<size_t>(env->GetArrayLength(planes)) != count * PLANES)
        fail(env, IFRNET_ARGUMENT, "planes and numbers are not those of " + std::to_string(count) + " images");
    std::vector<ifrnet_image> images;
    for (size_t i = 0; i < count; i++) images.push_back(read_image(env, planes, &all[i * NUMBERS], i));
    return images;
}

// ifrnet_options with the texts that they point to.
struct Options {
    Options(JNIEnv *env, jbyteArray device_text, jbyteArray cache_text, jintArray numbers)
        : device(text(env, device_text)) {
        const std::vector<jint> values = whole_numbers(env, numbers);
        if (values.size() != 3) fail(env, IFRNET_ARGUMENT, "options are three numbers");
        if (cache_text != nullptr) cache = text(env, cache_text);
        options.size = sizeof options;
        options.threads = values[0];
        options.unproven = values[1];
        options.precision = values[2];
        options.device = device.c_str();
        options.cache = cache_text == nullptr ? nullptr : cache.c_str();
    }
    Options(const Options &) = delete;

    std::string device, cache;
    ifrnet_options options = {};
};

ifrnet_runtime *runtime(jlong handle) { return reinterpret_cast<ifrnet_runtime *>(handle); }
jlong handle(ifrnet_runtime *runtime) { return reinterpret_cast<jlong>(runtime); }

jlong open_memory(JNIEnv *env, jobjectArray names, jobjectArray contents, const ifrnet_options &options) {
    const size_t count = static_cast<size_t>(env->GetArrayLength(names));
    if (static_cast<size_t>(env->GetArrayLength(contents)) != count)
        fail(env, IFRNET_ARGUMENT, "there must be as many contents as names");
    std::vector<std::string> texts;
    std::vector<ifrnet_file> files;
    texts.reserve(count); // the files point into it
    for (size_t i = 0; i < count; i++) {
        auto name = static_cast<jbyteArray>(env->GetObjectArrayElement(names, static_cast<jsize>(i)));
        jobject content = env->GetObjectArrayElement(contents, static_cast<jsize>(i));
        check_java(env);
        texts.push_back(text(env, name));
        const Memory memory = direct(env, content, "the file " + texts.back());
        files.push_back({texts.back().c_str(), memory.data, memory.bytes});
        env->DeleteLocalRef(name);
        env->DeleteLocalRef(content); // the array keeps it
    }
    ifrnet_runtime *opened = nullptr;
    check(env, ifrnet_open_memory(files.data(), files.size(), &options, &opened));
    return handle(opened);
}

jdoubleArray verify(JNIEnv *env, ifrnet_runtime *opened) {
    std::vector<ifrnet_comparison> comparisons(MOST_COMPARISONS);
    comparisons[0].size = sizeof comparisons[0];
    size_t count = comparisons.size();
    check(env, ifrnet_verify(opened, comparisons.data(), &count));
    comparisons.resize(std::min(count, comparisons.size()));
    std::vector<jdouble> numbers;
    for (const ifrnet_comparison &c : comparisons)
        numbers.insert(numbers.end(), {double(c.width), double(c.height), double(c.together), double(c.t), c.max_error,
                                       c.psnr, c.block_error});
    jdoubleArray array = env->NewDoubleArray(static_cast<jsize>(numbers.size()));
    check_java(env);
    env->SetDoubleArrayRegion(array, 0, static_cast<jsize>(numbers.size()), numbers.data());
    return array;
}

// The library was built with another header than this file: structs may not fit.
void check_abi(JNIEnv *env) {
    if (ifrnet_abi() != IFRNET_ABI)
        fail(env, IFRNET_ARGUMENT, "libifrnet has ABI " + std::to_string(ifrnet_abi()) + ", this app was built for " +
                                       std::to_string(IFRNET_ABI) + ": build both from one checkout");
}

}  // namespace

extern "C" {

JNIEXPORT jstring JNICALL Java_ifrnet_Native_version(JNIEnv *env, jclass) {
    return env->NewStringUTF(ifrnet_version());
}

JNIEXPORT jobjectArray JNICALL Java_ifrnet_Native_devices(JNIEnv *env, jclass) {
    return guarded(env, [&] {
        check_abi(env);
        size_t count = 0;
        check(env, ifrnet_devices(nullptr, &count));
        std::vector<ifrnet_device> devices(std::max<size_t>(count, 1));
        devices[0].size = sizeof devices[0];
        count = devices.size();
        check(env, ifrnet_devices(devices.data(), &count));
        devices.resize(std::min(count, devices.size()));
        std::vector<const char *> texts;
        for (const ifrnet_device &d : devices)
            texts.insert(texts.end(), {d.name, d.description, d.driver, d.reason, d.software ? "1" : ""});
        return strings(env, texts);
    });
}

JNIEXPORT jlong JNICALL Java_ifrnet_Native_open(JNIEnv *env, jclass, jbyteArray folder, jbyteArray device,
                                                jbyteArray cache, jintArray numbers) {
    return guarded(env, [&] {
        check_abi(env);
        const Options options(env, device, cache, numbers);
        ifrnet_runtime *opened = nullptr;
        check(env, ifrnet_open(text(env, folder).c_str(), &options.options, &opened));
        return handle(opened);
    });
}

JNIEXPORT jlong JNICALL Java_ifrnet_Native_openMemory(JNIEnv *env, jclass, jobjectArray names, jobjectArray contents,
                                                      jbyteArray device, jbyteArray cache, jintArray numbers) {
    return guarded(env, [&] {
        check_abi(env);
        const Options options(env, device, cache, numbers);
        return open_memory(env, names, contents, options.options);
    });
}

JNIEXPORT jobjectArray JNICALL Java_ifrnet_Native_describe(JNIEnv *env, jclass, jlong opened, jintArray numbers) {
    return guarded(env, [&] {
        ifrnet_info info = {};
        info.size = sizeof info;
        check(env, ifrnet_describe(runtime(opened), &info));
        const jint values[] = {info.width, info.height, info.any_timestep, info.proven, info.threads};
        env->SetIntArrayRegion(numbers, 0, 5, values);
        check_java(env);
        return strings(env, {info.name, info.device, info.precision, info.arithmetic, info.reason, info.identity,
                             info.machine});
    });
}

JNIEXPORT void JNICALL Java_ifrnet_Native_interpolate(JNIEnv *env, jclass, jlong opened, jobjectArray planes,
                                                      jintArray numbers, jfloatArray steps) {
    guarded(env, [&] {
        std::vector<float> t(static_cast<size_t>(env->GetArrayLength(steps)));
        env->GetFloatArrayRegion(steps, 0, static_cast<jsize>(t.size()), t.data());
        check_java(env);
        const std::vector<ifrnet_image> images = read_images(env, planes, numbers, t.size() + 2);
        check(env, ifrnet_interpolate(runtime(opened), &images[0], &images[1], t.data(), t.size(), images.data() + 2));
    });
}

JNIEXPORT jdoubleArray JNICALL Java_ifrnet_Native_verify(JNIEnv *env, jclass, jlong opened) {
    return guarded(env, [&] { return verify(env, runtime(opened)); });
}

JNIEXPORT void JNICALL Java_ifrnet_Native_cancel(JNIEnv *env, jclass, jlong opened) {
    guarded(env, [&] { check(env, ifrnet_cancel(runtime(opened))); });
}

JNIEXPORT void JNICALL Java_ifrnet_Native_close(JNIEnv *env, jclass, jlong opened) {
    guarded(env, [&] { check(env, ifrnet_close(runtime(opened))); });
}

JNIEXPORT jlong JNICALL Java_ifrnet_Native_address(JNIEnv *env, jclass, jobject buffer) {
    return guarded(env, [&] { return reinterpret_cast<jlong>(direct(env, buffer, "the plane").data); });
}

}  // extern "C"
