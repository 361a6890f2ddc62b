"""What the sessions of one ``make test`` share: the first that wants an artifact exports it, and each has a copy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from export import pipeline
from export.options import ExportOptions
from runtimes.contract import Precision
from tests.conftest import Artifacts

Exports = list[ExportOptions]


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> Exports:
    """What was exported; every export gives a file of its own."""
    made: Exports = []

    class Fake:
        def __init__(self, options: ExportOptions, report: object) -> None:
            self.options = options

        def jobs(self) -> list[str]:
            return ["job"]

        def build(self, job: str) -> SimpleNamespace:
            made.append(self.options)
            path = self.options.out / "name"
            path.mkdir(parents=True)
            (path / "manifest.json").write_text(str(len(made)))
            return SimpleNamespace(path=path)

    monkeypatch.setattr(pipeline, "Pipeline", Fake)
    return made


def content(path: Path) -> str:
    assert path.name == "name"
    return (path / "manifest.json").read_text()


def test_the_second_session_copies_what_the_first_exported(tmp_path: Path, exports: Exports) -> None:
    first, second = (Artifacts(tmp_path / name, tmp_path / "shared") for name in ("first", "second"))
    ours, theirs = first("onnx"), second("onnx")
    assert len(exports) == 1
    assert (content(ours), content(theirs)) == ("1", "1")
    assert theirs == second("onnx")
    assert theirs.is_relative_to(tmp_path / "second")
    (theirs / "manifest.json").write_text("changed")
    assert content(ours) == content(Artifacts(tmp_path / "third", tmp_path / "shared")("onnx")) == "1"


def test_another_argument_is_another_artifact(tmp_path: Path, exports: Exports) -> None:
    calls: tuple[dict[str, Any], ...] = (
        {},
        {"model": "ifrnet_s"},
        {"size": "96x160"},
        {"precision": Precision.FP16},
        {"dynamic": True},
        {"scale": 0.5},
        {"verify_devices": ("vulkan:0",)},
    )
    first, second = (Artifacts(tmp_path / name, tmp_path / "shared") for name in ("first", "second"))
    made = [content(first("onnx", **call)) for call in calls]
    made.append(content(first("openvino")))
    assert len(set(made)) == len(exports) == len(calls) + 1
    assert [content(second("onnx", **call)) for call in calls] == made[:-1]
    assert len(exports) == len(made)


def test_what_is_not_named_alike_in_all_sessions_is_not_shared(tmp_path: Path, exports: Exports) -> None:
    (checkpoint := tmp_path / "own.safetensors").touch()
    for name in ("first", "second"):
        Artifacts(tmp_path / name, tmp_path / "shared")("onnx", model=str(checkpoint))
        Artifacts(tmp_path / name / "alone")("onnx")
    assert len(exports) == 4
    assert not (tmp_path / "shared").exists()
