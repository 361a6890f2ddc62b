"""A new target is two modules and two rows: nothing else is touched, and everything knows it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

import export.graph
import export.source
import export.targets
import runtimes.registry
from export.__main__ import main
from ifrnet import random_model, warp
from runtimes import load
from runtimes.artifact import read_manifest, sha256_of
from runtimes.cli import run
from runtimes.commands import devices
from runtimes.contract import Verdict
from tests.export import toy_backend, toy_target

T = TypeVar("T")


def add_row(monkeypatch: pytest.MonkeyPatch, table: Mapping[str, T], name: str, module: T) -> None:
    """As if the source of the table had one row more: wherever it was imported to, it has it."""
    longer = MappingProxyType({**table, name: module})
    for loaded in [item for item in sys.modules.values() if isinstance(item, ModuleType)]:
        for attribute, value in list(vars(loaded).items()):
            if value is table:
                monkeypatch.setattr(loaded, attribute, longer)


@pytest.fixture(autouse=True)
def two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    add_row(monkeypatch, export.targets.TARGETS, "toy", toy_target)
    add_row(monkeypatch, runtimes.registry.BACKENDS, "toy", toy_backend)


def export_toy(out: Path, *arguments: str) -> int:
    given = ["--target", "toy", "--model", "random:ifrnet_s", "--size", "77x131", "--out", str(out), *arguments]
    return run("python -m export", main, given)


def test_it_goes_through_the_whole_pipeline(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    frames: Callable[..., tuple[np.ndarray, np.ndarray]],
) -> None:
    monkeypatch.setattr(export.source, "trace", None)  # it starts from the module, so nothing is traced to ONNX
    assert export_toy(tmp_path) == 0
    assert "passed" in capsys.readouterr().out
    (folder,) = tmp_path.iterdir()
    assert folder.name == "ifrnet_s-random0-toy-fp32-77x131"
    manifest = read_manifest(folder)
    assert (manifest.target, manifest.backend) == ("toy", "toy")
    assert "model.pt2" in manifest.files
    assert manifest.details == {"rewrites": ["split_resblock"]}
    assert manifest.parity_on("cpu").verdict is Verdict.PASSED
    img0, img1 = frames("77x131")
    with load(folder) as runtime:
        assert runtime.spec.backend == "toy"
        first, second = runtime.interpolate(img0, img1, [0.25, 0.75])
    assert first.shape == second.shape == img0.shape
    assert (first != second).any()


def test_a_bug_in_it_fails_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped_axes(img: Tensor, flow: Tensor) -> Tensor:
        return warp(img, flow.flip(1))

    monkeypatch.setattr(export.graph, "warp", swapped_axes)
    assert export_toy(tmp_path) == 2
    (folder,) = tmp_path.iterdir()
    assert read_manifest(folder).parity_on("cpu").verdict is Verdict.FAILED


def test_the_command_lines_know_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert devices.main([]) == 0
    assert "the toy" in capsys.readouterr().out
    assert export_toy(tmp_path, "--fp16") == 1
    assert "target toy has no fp16 (it is a toy); it has fp32" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_no_reader_would_take_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The manifest puts the provenance two levels deeper than the file that it is read from."""
    own = tmp_path / "own.pth"
    torch.save(random_model("ifrnet_s").state_dict(), own)
    own.with_suffix(".json").write_text(
        json.dumps({"sha256": sha256_of(own), "x": 0}).replace("0}", "[" * 62 + "]" * 62 + "}")
    )
    out = tmp_path / "out"
    given = ["--target", "toy", "--model", str(own), "--size", "32x32", "--out", str(out)]
    assert run("python -m export", main, given) == 1
    error = capsys.readouterr().err
    assert error.endswith(
        "nested deeper than 64 levels): shorten what own.pth, or the JSON file beside it, tells of it\n"
    )
    assert not list(out.iterdir())
