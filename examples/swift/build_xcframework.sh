#!/bin/sh
# Makes CIfrnet.xcframework for iOS, its simulator and macOS, all arm64: sh build_xcframework.sh /path/to/ncnn
set -eu

ncnn=${1:?"pass the folder of ncnn's sources: sh build_xcframework.sh /path/to/ncnn"}
here=$(cd "$(dirname "$0")" && pwd)
native=$here/../../runtimes/native
work=$here/.build/native

# One static library for a platform. ncnn's own small OpenMP stands in for the one that Apple's compiler lacks.
build() { # build NAME SYSTEM SDK OLDEST
    cmake -S "$native" -B "$work/$1" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_SYSTEM_NAME="$2" -DCMAKE_OSX_SYSROOT="$3" -DCMAKE_OSX_ARCHITECTURES=arm64 \
        -DCMAKE_OSX_DEPLOYMENT_TARGET="$4" \
        -DIFRNET_NCNN_SOURCE="$ncnn" -DIFRNET_STATIC=ON -DIFRNET_VULKAN=OFF -DNCNN_SIMPLEOMP=ON
    cmake --build "$work/$1" --target ifrnet
    xcrun libtool -static -o "$work/$1/libifrnet-whole.a" "$work/$1/libifrnet.a" "$work/$1/ncnn/src/libncnn.a"
}

build ios iOS iphoneos 16.0
build simulator iOS iphonesimulator 16.0
build macos Darwin macosx 13.0

rm -rf "$work/headers" "$here/CIfrnet.xcframework"
mkdir -p "$work/headers"
cp "$native/include/ifrnet.h" "$here/CIfrnet/module.modulemap" "$work/headers/"
set --
for name in ios simulator macos; do
    set -- "$@" -library "$work/$name/libifrnet-whole.a" -headers "$work/headers"
done
xcodebuild -create-xcframework "$@" -output "$here/CIfrnet.xcframework"
