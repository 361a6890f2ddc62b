#!/usr/bin/env bash
# Build libifrnet into build/native: bash runtimes/native/build.sh [host|arm64] [CMake options].
#
# host   the shared library and the program for this machine, and what the tests run: build/native/prefix
# arm64  one static program for ARM64 by Debian's cross compiler: build/native/arm64/ifrnet
#
# Needs a C++ compiler. CMake, Ninja and the client that fetches ncnn's sources are the extra `native` of this package
# (PYTHON names the interpreter that has it). ccache is used where it is there.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
kind=${1:-host}
shift || true
python=${PYTHON:-$root/.venv/bin/python}
build=$root/build/native
ncnn=1.0.20261020
sha256=ad8cdd63e9755cfa8e23b9b6d9ce46156077d80298a89e7c3ba325ffccfca200

sources=$build/ncnn-$ncnn
mkdir -p "$build"
if [ ! -f "$sources/whole" ]; then
    # The archive's own version is the day on which it is unpacked, so pip refuses it: a plain download by name.
    "$python" -m unearth "ncnn==$ncnn" --no-binary --download "$build/download" >/dev/null
    echo "$sha256  $build/download/ncnn-$ncnn.tar.gz" | sha256sum --check --quiet
    rm -rf "$sources"
    tar -xzf "$build/download/ncnn-$ncnn.tar.gz" -C "$build"
    touch "$sources/whole"
fi

PATH=$(dirname "$python"):$PATH
options=(-G Ninja "-DIFRNET_NCNN_SOURCE=$sources" "-DIFRNET_NCNN_VERSION=${ncnn##*.}")
if command -v ccache >/dev/null; then
    options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
fi
case $kind in
host) options+=("-DCMAKE_INSTALL_PREFIX=$build/prefix" -DCMAKE_INSTALL_LIBDIR=lib -DIFRNET_TESTS=ON) ;;
arm64) options+=("-DCMAKE_TOOLCHAIN_FILE=$root/runtimes/native/cmake/aarch64-linux-gnu.cmake" -DIFRNET_STATIC=ON
                 -DIFRNET_VULKAN=OFF) ;;
*) echo "build.sh $kind: expected host or arm64" >&2; exit 1 ;;
esac
cmake -S "$root/runtimes/native" -B "$build/$kind" "${options[@]}" "$@" >"$build/$kind.log" 2>&1 \
    || { tail -20 "$build/$kind.log" >&2; exit 1; }
cmake --build "$build/$kind"
if [ "$kind" = host ]; then cmake --install "$build/$kind" --strip >>"$build/$kind.log"; fi
