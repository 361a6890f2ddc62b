"""The wheel works outside the checkout: in an environment that has never seen it, it exports and interpolates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtimes.shipped import PREFERENCE

ROOT = Path(__file__).parent.parent
PACKAGES = {"benchmarks", "calibration", "export", "ifrnet", "runtimes"}


def build_wheel(folder: Path) -> Path:
    """From a copy in ``folder``, since setuptools would take up what an earlier build left in the tree."""
    source = folder / "source"

    def left_out(parent: str, names: list[str]) -> set[str]:
        own = {"build", "artifacts", "demo-output", "runs"} if Path(parent) == ROOT else set()
        return {name for name in names if name in own or name[0] == "." or name.endswith((".egg-info", "__pycache__"))}

    shutil.copytree(ROOT, source, ignore=left_out)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, timeout=300)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the console scripts of a new environment.

    Third-party packages are lent by the environment that runs the tests; a ``.pth`` file is not followed from there, so
    that the checkout, installed in development mode, cannot leak in.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, timeout=300)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def run(scripts: Path, folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [str(scripts / name), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_wheel_holds_the_five_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == PACKAGES
    modules = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert modules <= set(names), "setup.cfg lists packages by name; add the new one"
    from ifrnet.weights import BUILTIN

    for name in BUILTIN:
        assert {f"ifrnet/checkpoints/{name}.safetensors", f"ifrnet/checkpoints/{name}.json"} <= set(names)
        assert f"export/int8/scales/{name}.json" in names
    clips = {str(path.relative_to(ROOT)) for path in (ROOT / "export" / "int8" / "clips").iterdir()}
    assert clips
    assert clips <= set(names)
    pins = {str(path.relative_to(ROOT)) for path in (ROOT / "export" / "pins").iterdir()}
    assert pins
    assert pins <= set(names)
    for item in PREFERENCE:
        files = {str(path.relative_to(ROOT)) for path in item.folder.iterdir()}
        assert files - set(names) <= {
            f"runtimes/artifacts/{item.name}/{name}" for name in ("verdicts.json", "tuning.json")
        }
    assert not [name for name in names if name.endswith(("verdicts.json", "tuning.json"))]


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 40e6


def test_an_export_and_an_interpolation_outside_the_checkout(scripts: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [str(scripts / "python"), "-c", "import ifrnet; print(ifrnet.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(ROOT) not in where.stdout
    done = run(scripts, tmp_path, "ifrnet-export", "--target", "onnx", "--size", "160x96")
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout
    (artifact,) = (tmp_path / "artifacts").iterdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (96, 160, 3), np.uint8)).save(tmp_path / name)
    done = run(
        scripts,
        tmp_path,
        "ifrnet-runtimes",
        "interpolate",
        "a.png",
        "b.png",
        "-o",
        "mid.png",
        "--artifact",
        str(artifact),
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "mid.png") as image:
        assert image.size == (160, 96)


def test_every_script_has_help(scripts: Path, tmp_path: Path) -> None:
    for name in ("ifrnet-export", "ifrnet-runtimes", "ifrnet-bench", "ifrnet-calibrate"):
        done = run(scripts, tmp_path, name, "--help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage:")
