"""The tables of targets and backends: modules that provide everything, and load nothing until they are used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from export.declarations import TOOLCHAIN
from export.errors import ExportError
from export.targets import TARGETS, target
from runtimes.cli import EXTRAS
from runtimes.contract import Precision
from runtimes.registry import BACKENDS
from tests.export import toy_backend, toy_target
from tests.heavy_packages import HEAVY

ROOT = Path(__file__).parent.parent.parent

MODULES = [str(vars(module)["__name__"]) for module in (*TARGETS.values(), *BACKENDS.values())]


def test_every_target_keeps_its_protocol() -> None:
    for name in TARGETS:
        module = target(name)
        assert module.REQUIRES
        assert module.BACKEND in BACKENDS
        assert Precision.FP32 in module.TOLERANCES or name == "qnn"  # whose processor has no float32
        assert {*module.TOLERANCES, *module.LACKING} == set(Precision)
        assert module.graph_precision(Precision.FP32) is Precision.FP32
        for precision, tolerance in module.TOLERANCES.items():
            assert tolerance.reason
            assert isinstance(module.rewrites(precision), tuple)
    with pytest.raises(
        ExportError, match=r"no target named 'abacus'; there are onnx, .*, mnn, litert, .*coreml, qnn and all"
    ):
        target("abacus")


def test_fp32_is_held_to_the_figure_of_the_table() -> None:
    rows = [target(name).TOLERANCES.get(Precision.FP32) for name in TARGETS]
    assert all(row is None or row.max_error <= 2e-4 for row in rows)


def loaded_by(module: str) -> set[str]:
    """Top-level names that are loaded after an import in a new process."""
    code = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, module], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("module", [*MODULES, "export.targets", "runtimes.registry"])
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    assert not loaded_by(module) & HEAVY


def test_what_is_heavy_is_seen() -> None:
    assert loaded_by("export.source") & HEAVY >= {"torch", "onnx"}


def test_every_table_names_the_same_extra_for_a_package() -> None:
    assert {name: EXTRAS[name] for name in TOOLCHAIN} == dict(TOOLCHAIN)
    declared = {name: extra for module in TARGETS.values() for name, extra in module.REQUIRES.items()}
    assert {name: EXTRAS.get(name, extra) for name, extra in declared.items()} == declared
    of_backends = {name: module.ABOUT.extra for module in BACKENDS.values() for name in module.ABOUT.modules}
    assert {name: declared.get(name, extra) for name, extra in of_backends.items()} == of_backends


def rejected(folder: Path, protocol: str, modules: list[str]) -> dict[str, str]:
    """The modules in ``folder`` that mypy refuses as a row of a table of ``protocol``, with what it says they lack."""
    package, _, name = protocol.rpartition(".")
    rows = [f"{module}: {name} = modules.{module}" for module in modules]
    imports = [f"import modules.{module}" for module in modules]
    (folder / "table.py").write_text("\n".join([f"from {package} import {name}", *imports, *rows]) + "\n")
    settings = "[mypy]\nignore_missing_imports = True\nexplicit_package_bases = True\nfollow_imports = silent\n"
    skipped = "[mypy-torch.*,numpy.*,onnx.*]\nfollow_imports = skip\n"  # two seconds instead of a minute
    (folder / "mypy.ini").write_text(settings + skipped)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "table.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": f"{ROOT}{os.pathsep}{folder}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    lines = (folder / "table.py").read_text().splitlines()
    pattern = r"table\.py:(\d+): error: .*\n.* is missing following .*\n.*: note:     (\w+)\n"
    found = re.findall(pattern, done.stdout)
    assert len(found) == done.stdout.count("error:"), done.stdout + done.stderr
    return {lines[int(number) - 1].partition(":")[0]: lacking for number, lacking in found}


TARGET_FUNCTIONS = ("missing", "check", "rewrites", "graph_precision", "compile")
BACKEND_FUNCTIONS = ("missing", "devices", "open_runtime")


@pytest.mark.parametrize(
    ("source", "protocol", "functions"),
    [
        (toy_target.__file__, "export.targets.Target", TARGET_FUNCTIONS),
        (toy_backend.__file__, "runtimes.registry.Backend", BACKEND_FUNCTIONS),
    ],
    ids=["target", "backend"],
)
def test_a_module_that_lacks_a_function_is_rejected_by_mypy(
    source: str, protocol: str, functions: tuple[str, ...], tmp_path: Path
) -> None:
    """The tables are typed, so ``make lint`` does this for every row."""
    text = Path(source).read_text()
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "whole.py").write_text(text)
    for name in functions:
        assert f"\ndef {name}(" in text
        (tmp_path / "modules" / f"without_{name}.py").write_text(text.replace(f"\ndef {name}(", f"\ndef no_{name}("))
    expected = {f"without_{name}": name for name in functions}
    assert rejected(tmp_path, protocol, ["whole", *expected]) == expected
