"""The direction of imports, and what stays unloaded: an app can ship ``runtimes`` alone."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.heavy_packages import HEAVY

ROOT = Path(__file__).parent.parent

VOCABULARY = {
    f"runtimes.{name}" for name in ("atomic", "cli", "contract", "environment", "errors", "json_text", "printable")
}
"""What model and artifact both speak of. These modules stand on each other and on the standard library only."""

MAY_IMPORT: dict[str, set[str]] = {
    "runtimes": set(),
    "ifrnet": VOCABULARY,
    "export": {"ifrnet", "runtimes"},
    "calibration": {"ifrnet", "runtimes", "export"},
    "benchmarks": {"ifrnet", "runtimes", "export", "calibration"},
}
"""Package -> the packages and modules of this repository that it stands on. A package stands on earlier rows only."""

NEVER = {"runtimes": {"torch", "torchvision"}}
"""Package -> what else it may not import."""


def imported(source: str) -> Iterator[str]:
    """Full names of everything that a file imports, also inside of functions: ``package.module.name``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.args[0] if node.args else None, ast.Constant):
            name = ast.unparse(node.func)
            if name in ("importlib.import_module", "import_module", "__import__"):
                yield ast.literal_eval(node.args[0])


def is_within(name: str, modules: set[str]) -> bool:
    """Whether a name is one of the modules, or something in one of them."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


def forbidden_imports(package: str, source: str) -> set[str]:
    """What a file of a package imports against the rule."""
    watched = {*MAY_IMPORT, "tests"} | NEVER.get(package, set())
    allowed = MAY_IMPORT[package] | {package}
    return {name for name in imported(source) if is_within(name, watched) and not is_within(name, allowed)}


def test_imports_of_every_kind_are_found() -> None:
    source = (
        "import torch.nn as nn\ndef f():\n from export.trace import trace\n importlib.import_module('benchmarks.x')"
    )
    assert set(imported(source)) == {"torch.nn", "export.trace.trace", "benchmarks.x"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_stand_on_each_other_in_one_direction(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    found = {(str(f.relative_to(ROOT)), name) for f in files for name in forbidden_imports(package, f.read_text())}
    assert not found


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("runtimes", "import ifrnet"),
        ("runtimes", "from ifrnet.variants import Variant"),
        ("runtimes", "from export import targets"),
        ("runtimes", "import torch.nn"),
        ("ifrnet", "import runtimes"),
        ("ifrnet", "from runtimes import load"),
        ("ifrnet", "from runtimes import artifact"),
        ("ifrnet", "from runtimes.contracts import Size"),
        ("ifrnet", "from runtimes.video.errors import VideoError"),
        ("ifrnet", "import export.graph"),
        ("export", "from calibration.scales import scales_for"),
        ("calibration", "importlib.import_module('benchmarks.demo')"),
        ("benchmarks", "from tests.conftest import DYNAMIC"),
    ],
)
def test_the_rule_can_be_broken(package: str, line: str) -> None:
    (name,) = imported(line)
    assert forbidden_imports(package, line) == {name}


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("ifrnet", "from runtimes.contract import MAX_SIDE, Timesteps"),
        ("ifrnet", "from runtimes import json_text"),
        ("ifrnet", "import runtimes.errors"),
        ("export", "from runtimes.video.errors import VideoError"),
        ("calibration", "import export.graph, ifrnet, numpy"),
    ],
)
def test_the_rule_allows_what_it_says(package: str, line: str) -> None:
    assert forbidden_imports(package, line) == set()


def test_packages_stand_on_earlier_rows_only() -> None:
    order = list(MAY_IMPORT)
    for position, package in enumerate(order):
        assert {name.partition(".")[0] for name in MAY_IMPORT[package]} <= set(order[:position])


@pytest.mark.parametrize("module", sorted(VOCABULARY))
def test_the_vocabulary_stands_on_itself(module: str) -> None:
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    allowed = VOCABULARY | set(sys.stdlib_module_names)
    assert not {name for name in imported(source) if not is_within(name, allowed)}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_importing_runtimes_loads_numpy_only() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import runtimes, runtimes.registry\n"
        "for name in runtimes.registry.BACKENDS: runtimes.registry.backend(name)\n"
        "found = {name.partition('.')[0] for name in set(sys.modules) - before if sys.modules[name] is not None}\n"
        "print(*found - {'numpy', *sys.stdlib_module_names})"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["runtimes"]


@pytest.mark.parametrize("target", ["onnx", "openvino", "ncnn", "mnn", "litert", "executorch"])
def test_running_an_artifact_loads_no_torch(target: str, artifact: Callable[..., Path]) -> None:
    code = (
        "import sys, numpy, runtimes\n"
        "with runtimes.load(sys.argv[1], threads=1) as runtime:\n"
        "    frame = numpy.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=numpy.uint8)\n"
        "    assert runtime.interpolate(frame, frame[::-1].copy()).shape == frame.shape\n"
        "print(*[name for name in ('torch', 'ifrnet', 'export', 'calibration') if name in sys.modules])"
    )
    done = python("-W", "error", "-c", code, str(artifact(target)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize("module", [name for name in MAY_IMPORT if (ROOT / name / "__main__.py").is_file()])
def test_help_needs_nothing_installed(module: str) -> None:
    """``--help`` works, and is fast, with none of the packages at hand."""
    blocked = (*HEAVY, "rich", "PIL", "av", "cv2", "matplotlib", "safetensors")
    code = (
        f"import sys, runpy; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        f"sys.argv = [{module!r}, '--help']; runpy.run_module({module!r}, run_name='__main__')"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


@pytest.mark.parametrize(
    ("module", "arguments", "lacking", "extra"),
    [
        ("export", ["--target", "onnx"], "torch", "export"),
        ("export", ["--target", "openvino"], "onnx", "export"),
        ("calibration", ["scales", "--video", __file__, "--out", "x.json"], "torch", "export"),
        ("benchmarks", ["latency"], "torch", "export"),
    ],
)
def test_a_missing_extra_is_one_line(module: str, arguments: list[str], lacking: str, extra: str) -> None:
    code = (
        f"import sys, runpy; sys.modules[{lacking!r}] = None\n"
        f"sys.argv = {[module, *arguments]!r}; runpy.run_module({module!r}, run_name='__main__')"
    )
    done = python("-c", code)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].endswith(f"{lacking} is not installed: pip install 'ifrnet-export[{extra}]'")
    assert "Traceback" not in done.stderr
