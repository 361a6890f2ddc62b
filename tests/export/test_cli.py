"""The command line: nothing heavy before it is needed, one line and exit code 1 for what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import export.pipeline
from export.__main__ import main, parser
from export.options import DEFAULT_SIZE
from runtimes.cli import run
from tests.heavy_packages import HEAVY

ROOT = Path(__file__).parent.parent.parent


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, runpy, contextlib\n"
        "sys.argv = ['export', '--help']\n"
        "with contextlib.suppress(SystemExit): runpy.run_module('export', run_name='__main__')\n"
        "roots = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print('LOADED', *sorted(roots))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "usage: python -m export" in done.stdout
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert not loaded & (HEAVY | {"rich", "scipy"})


def test_help_names_the_defaults_and_the_exit_codes() -> None:
    text = " ".join(parser().format_help().split())
    for part in (
        f"default: {DEFAULT_SIZE}",
        "default: ifrnet_s",
        "default: artifacts",
        "exit codes: 0 built",
        "--sm 86",
    ):
        assert part in text


REFUSED = [
    ([], "the following arguments are required: --target"),
    (["--target", "abacus"], "invalid choice: 'abacus'"),
    (["--target", "onnx", "--size", "0x720"], "width is 0; expected 1 to 16384 pixels"),
    (["--target", "onnx", "--size", "1280x0"], "height is 0; expected 1 to 16384 pixels"),
    (["--target", "onnx", "--size=-1280x720"], "width is -1280; expected 1 to 16384 pixels"),
    (["--target", "onnx", "--size", "99999x720"], "width is 99999; expected 1 to 16384 pixels"),
    (["--target", "onnx", "--size", "1280"], "expected WIDTHxHEIGHT"),
    (["--target", "onnx", "--size", "64x48", "--size", "96x64"], "argument --size: given twice, and one counts"),
    (["--target", "onnx", "--model", "a.pth", "--model", "b.pth"], "argument --model: given twice"),
    (["--target", "onnx", "--size", "720p"], "expected WIDTHxHEIGHT"),
    (["--target", "onnx", "--scale", "0"], "scale is 0.0; expected a number from 0.125 to 4"),
    (["--target", "onnx", "--scale", "-1"], "scale is -1.0"),
    (["--target", "onnx", "--scale", "nan"], "scale is nan"),
    (["--target", "onnx", "--scale", "0.333"], "expected a ratio of small integers"),
    (["--target", "onnx", "--scale", "x"], "invalid float value"),
    (["--target", "onnx", "--min-size", "64x64"], "belong to --dynamic"),
    (["--target", "onnx", "--sm", "86"], "--sm belongs to --target trt; pass that too, or leave it out"),
    (["--target", "onnx", "--ios", "17"], "--ios belongs to --target coreml"),
    (["--target", "onnx", "--soc", "snapdragon-888"], "--soc belongs to --target qnn"),
    (["--target", "onnx", "--delegate", "vulkan"], "--delegate belongs to --target executorch"),
    (["--target", "onnx", "--dynamic", "--size", "64x64"], "--size is for static artifacts"),
    (
        ["--target", "onnx", "--dynamic", "--min-size", "640x640", "--max-size", "320x320"],
        "minimum <= typical <= maximum",
    ),
    (["--target", "onnx", "--dynamic", "--opt-size", "5000x5000"], "minimum <= typical <= maximum"),
    (["--target", "onnx", "--verify-device", "tpu:0"], "no device 'tpu:0'"),
    (["--target", "onnx", "--frobnicate"], "unrecognized arguments: --frobnicate"),
    (["--target", "onnx", "artifact"], "unrecognized arguments: artifact"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[" ".join(given) or "nothing" for given, _ in REFUSED])
def test_what_it_refuses(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = run("python -m export", main, arguments)
    except SystemExit as stop:  # argparse leaves by itself
        code = stop.code  # type: ignore[assignment]
    out, error = capsys.readouterr()
    assert code == 1
    assert out == ""
    assert error.startswith("python -m export: ")
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_process_ends_with_the_code() -> None:
    command = [sys.executable, "-m", "export", "--target", "onnx", "--scale", "9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        done.stderr
        == "python -m export: scale is 9.0; expected a number from 0.125 to 4, for example 0.5 for UHD frames\n"
    )


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("a-file", "a-file is no folder: pass another --out"),
        ("a-file/below", "a-file is no folder: pass another --out"),
        ("/proc/artifacts", "--out /proc/artifacts: /proc cannot be written to ("),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    out: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if out.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("this system has no /proc, where not even root can write")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export.pipeline, "load_model", None)
    (tmp_path / "a-file").write_text("kept")
    assert run("python -m export", main, ["--target", "onnx", "--out", out]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
    assert (tmp_path / "a-file").read_text() == "kept"


def test_a_folder_that_can_be_made_is_not_made_by_looking(tmp_path: Path) -> None:
    export.pipeline.check_folder(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []
