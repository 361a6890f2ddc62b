"""The samples of examples/android and examples/swift, as far as this machine can check them.

They run over ``stub_library.c``. What a JDK, a Kotlin compiler or clang would check is skipped, with the reason, where
they are not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.native.samples import EXAMPLES, HEADER, HERE, INCLUDE, ROOT, STRICT, build_stub, c_compiler, succeed, tool

ANDROID = EXAMPLES / "android"
KOTLIN = ANDROID / "ifrnet/src/main/kotlin/ifrnet"
JNI = ANDROID / "ifrnet/src/main/cpp/ifrnet_jni.cpp"

# ---- examples/android ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def jni(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stub and ``libifrnet_jni.so``."""
    headers = Path(tool("javac")).resolve().parent.parent / "include"
    if not (headers / "jni.h").exists():
        pytest.skip(f"{headers} has no jni.h")
    stub = build_stub(tmp_path_factory.mktemp("jni"))
    command = (tool("c++", "g++", "clang++"), "-std=c++17", "-O1", *STRICT, "-fPIC", "-shared", "-fvisibility=hidden")
    includes = (f"-I{INCLUDE}", f"-I{headers}", f"-I{headers / 'linux'}")
    succeed(*command, *includes, JNI, f"-L{stub}", "-lifrnet", f"-Wl,-rpath,{stub}", "-o", stub / "libifrnet_jni.so")
    return stub


def declared(source: str, opening: str) -> list[str]:
    """Names of an enum in Kotlin, in their order."""
    body = re.search(re.escape(opening) + r"[^{]*\{(.*?)\n?\}", source, re.DOTALL)
    assert body is not None
    return re.findall(r"\b[A-Z][A-Z0-9_]+\b", re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL))


@pytest.mark.parametrize("name", ["layout", "matrix", "range", "chroma", "unproven", "precision"])
def test_the_enums_of_kotlin_are_those_of_c(name: str) -> None:
    sources = "".join(path.read_text() for path in (KOTLIN / "Frame.kt", KOTLIN / "Ifrnet.kt"))
    body = re.search(rf"typedef enum ifrnet_{name} \{{(.*?)\}}", HEADER.read_text(), re.DOTALL)
    assert body is not None
    values = {int(value): constant for constant, value in re.findall(r"IFRNET_(\w+) = (\d+)", body[1])}
    assert declared(sources, f"enum class {name.capitalize()}") == [values[i] for i in range(len(values))]


def test_every_native_function_has_its_name_in_c(jni: Path) -> None:
    functions = set(re.findall(r"external fun (\w+)", (KOTLIN / "Native.kt").read_text()))
    symbols = succeed(tool("nm"), "--dynamic", "--defined-only", jni / "libifrnet_jni.so")
    assert set(re.findall(r"Java_ifrnet_Native_(\w+)", symbols)) == functions
    assert len(functions) == 10


def test_the_kotlin_class_in_a_jvm(jni: Path, tmp_path: Path) -> None:
    sources = [path for path in sorted(KOTLIN.glob("*.kt")) if "import android" not in path.read_text()]
    assert len(sources) == 4
    jar = tmp_path / "all.jar"
    java, kotlinc = tool("java"), tool("kotlinc")
    succeed(kotlinc, "-nowarn", *sources, HERE / "jni_main.kt", "-jvm-target", "1.8", "-include-runtime", "-d", jar)
    command = (java, "-Xcheck:jni", f"-Djava.library.path={jni}", "-cp", jar, "Jni_mainKt")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "closed twice" not in done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == ["all checks ran"]
    assert len(lines) == 47


def test_xml_is_well_formed() -> None:
    files = sorted(ANDROID.rglob("*.xml"))
    assert [ElementTree.parse(path).getroot().tag for path in files] == ["manifest", "manifest"]


def test_the_folders_that_cannot_be_built_here_say_so_with_their_versions() -> None:
    text = (ANDROID / "README.md").read_text()
    assert text.splitlines()[2].startswith("Not built here")
    scripts = "".join(path.read_text() for path in ANDROID.rglob("*.kts"))
    versions = set(re.findall(r'(?:version|ndkVersion =) "([\d.]+)"|version = "([\d.]+)"|compileSdk = (\d+)', scripts))
    stated = {next(filter(None, version)) for version in versions}
    assert len(stated) == 5
    assert not [version for version in stated if version not in text]
    swift = (EXAMPLES / "swift/README.md").read_text()
    assert swift.splitlines()[2].startswith("Not built here")
    tools = re.search(r"swift-tools-version: ([\d.]+)", (EXAMPLES / "swift/Package.swift").read_text())
    assert tools is not None
    assert f"Swift {tools[1]}" in swift


# ---- examples/swift --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "line"), [("m", "@import CIfrnet;"), ("c", '#include "ifrnet.h"')])
def test_the_module_map(suffix: str, line: str, tmp_path: Path) -> None:
    clang = tool("clang")
    for path in (EXAMPLES / "swift/CIfrnet/module.modulemap", HEADER):
        shutil.copy(path, tmp_path)
    source = tmp_path / f"probe.{suffix}"
    source.write_text(
        f"{line}\nint main(void) {{ ifrnet_image image = {{0}}; return (int)ifrnet_abi() + image.layout; }}\n"
    )
    modules = (
        "-fmodules",
        f"-fmodules-cache-path={tmp_path / 'cache'}",
        f"-fmodule-map-file={tmp_path}/module.modulemap",
    )
    succeed(clang, *modules, f"-I{tmp_path}", "-fsyntax-only", "-Wall", "-Werror", source)
    assert list((tmp_path / "cache").rglob("CIfrnet-*.pcm"))


def test_the_script_that_makes_the_framework_is_a_shell_script() -> None:
    succeed("sh", "-n", EXAMPLES / "swift/build_xcframework.sh")


@pytest.mark.parametrize("system", ["iOS", "Darwin"])
def test_cmake_configures_for_apple(
    system: str, native_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without Apple's compiler: what CMake refuses, and the flags that it would pass. Threads are found by compiling.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    (sources,) = (path.parent for path in native_build.parent.glob("ncnn-*/whole"))
    sdk = tmp_path / "iPhoneOS.sdk"  # its name is all that CMake looks at
    sdk.mkdir()
    compilers = (f"-DCMAKE_{language}_COMPILER={c_compiler()}" for language in ("C", "CXX"))
    told = ("C_COMPILER_FORCED", "CXX_COMPILER_FORCED", "HAVE_LIBC_PTHREAD", "EXPORT_COMPILE_COMMANDS")
    options = [*compilers, *(f"-DCMAKE_{name}=1" for name in told), f"-DCMAKE_OSX_SYSROOT={sdk}"]
    options += [f"-DCMAKE_SYSTEM_NAME={system}", "-DCMAKE_OSX_ARCHITECTURES=arm64", f"-DIFRNET_NCNN_SOURCE={sources}"]
    options += ["-DIFRNET_STATIC=ON", "-DIFRNET_VULKAN=OFF", "-DNCNN_SIMPLEOMP=ON", "-Wno-dev", "-G", "Ninja"]
    tool("ninja")
    succeed(tool("cmake"), "-S", ROOT / "runtimes/native", "-B", tmp_path / "build", *options)
    commands = json.loads((tmp_path / "build/compile_commands.json").read_text())
    ours = [item["command"] for item in commands if "/runtimes/native/src/" in item["file"]]
    assert ours
    assert all(command.count("-fopenmp") == command.count("-Xpreprocessor -fopenmp") == 1 for command in ours)


def test_openmp_is_what_ncnn_has_for_apple() -> None:
    # ncnn's simpleomp lacks what clang calls for an if(); and each loop takes the threads of its runtime.
    sources = [path.read_text() for path in (ROOT / "runtimes/native/src").iterdir()]
    loops = re.findall(r"#pragma omp (.*)", "\n".join(sources))
    assert loops
    assert all(re.fullmatch(r"parallel for (schedule\(static\) )?num_threads\(\w+\)", loop) for loop in loops)
