from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.report.index import index
from benchmarks.report.machine_folder import file_name, machine_folder, output_path, slug
from benchmarks.report.results_file import Kind, Results
from runtimes.cli import run

Make = Callable[..., Results]


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ("AMD EPYC", "amd-epyc"),
        ("AMD EPYC 9V74 80-Core Processor", "amd-epyc-9v74-80-core"),
        ("Intel(R) Xeon(R) Processor @ 2.90GHz", "intel-xeon"),
        ("11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz", "11th-gen-intel-core-i7-1185g7"),
        ("../../etc", "etc"),
        ("", "unknown-processor"),
    ],
)
def test_a_processor_names_a_folder(processor: str, expected: str) -> None:
    assert slug(processor) == expected


def test_machines_of_one_name_are_told_apart() -> None:
    def folder(*flags: str, cores: int = 2) -> str:
        return machine_folder({"cpu": "AMD EPYC", "flags": flags, "cores": cores})

    assert folder("avx2", "avx512f", "avx512_vnni", "avx512_bf16") == "amd-epyc-avx512-bf16-2-cores"
    assert folder("avx2", "avx512f", "avx512_vnni") == "amd-epyc-avx512-vnni-2-cores"
    assert folder("avx2", cores=16) == "amd-epyc-avx2-16-cores"
    assert folder("AMD EPYC") == "amd-epyc-2-cores"  # other systems than Linux list no instruction sets


def test_files_are_named_for_what_they_hold(make_results: Make) -> None:
    assert file_name(make_results({}, model="ifrnet_s", size="1280x720")) == "latency-ifrnet_s-1280x720.json"
    assert file_name(make_results({}, model="a b/c", timesteps=7)) == "latency-a-b-c-64x48-7-timesteps.json"
    assert file_name(make_results({}, kind=Kind.THROUGHPUT)) == "throughput-m-64x48.json"


def test_save_finds_the_place_by_itself(make_results: Make) -> None:
    made = make_results({})
    results = replace(made, environment={**made.environment, "cores": 4})
    saved = output_path(argparse.Namespace(save=Path("r"), json=None), results)
    assert saved == Path("r/a-4-cores/latency-m-64x48.json")
    assert output_path(argparse.Namespace(save=None, json=Path("b.json")), results) == Path("b.json")
    assert output_path(argparse.Namespace(save=None, json=None), results) is None


@pytest.mark.parametrize("command", ["latency", "throughput"])
def test_save_and_json_exclude_each_other(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROGRAM, main, [command, "--json", "a.json", "--save"]) == 1
    assert "--json and --save exclude each other" in capsys.readouterr().err


def test_the_index_puts_machines_side_by_side(make_results: Make, tmp_path: Path) -> None:
    def save(cpu: str, *rows: dict[str, object], **summary: object) -> None:
        made = make_results(*rows, model="ifrnet_s", size="1280x720")
        made = replace(made, environment={**made.environment, "cpu": cpu, "cores": 2}, created="2026-11-26T00:00:00")
        made = replace(made, summary={**made.summary, **summary})
        made.save(tmp_path / machine_folder(made.environment) / file_name(made))

    ours = {"backend": "openvino", "precision": "int8", "arithmetic": "int8 with bf16", "median_ms": 50.0}
    naive = {"form": "naive export", "median_ms": 120.0}
    products = {"fp32": {"torch": 100.0, "onnxruntime": 311.0}, "int8": {"openvino": 1200.0}}
    save("Old", {}, {"precision": "fp16", "verdict": "failed"}, {"device": "gpu", "median_ms": None})
    save("New", {"limit_share": 0.451}, ours, naive, products_gflops=products, copy_gbps=20.04)
    text = index(tmp_path)
    assert "| new-2-cores | New, cores: 2 | fp32 311, int8 1200 | 20.0 | 2026-11-26 |" in text
    assert "| old-2-cores | Old, cores: 2 | ? | ? | 2026-11-26 |" in text
    table = text[text.index("## ifrnet_s at 1280x720") :].splitlines()
    assert table[2:] == [
        "| | [new-2-cores](new-2-cores/latency-ifrnet_s-1280x720.md) "
        "| [old-2-cores](old-2-cores/latency-ifrnet_s-1280x720.md) |",
        "|---|---:|---:|",
        "| openvino int8 (ran int8 with bf16) | 3.00, ? | - |",
        "| onnxruntime fp32 | 1.50, 45% | 1.50, ? |",
        "| onnxruntime fp32, naive export | 1.25, ? | - |",
    ]


def test_whole_videos_stand_below(make_results: Make, tmp_path: Path) -> None:
    latency = make_results({})
    latency.save(tmp_path / "a-2-cores" / file_name(latency))
    ours = {"backend": "openvino", "precision": "int8", "fps": 1.923, "infer_share": 0.962, "psnr": 34.141}
    theirs = {"backend": "ffmpeg minterpolate", "precision": "-", "fps": 1.7, "infer_share": None, "psnr": 30.6}
    video = make_results(ours, theirs, {"fps": None, "psnr": None}, kind=Kind.VIDEO, source="bbb")
    video.save(tmp_path / "a-2-cores" / file_name(video))
    where = "[a-2-cores](a-2-cores/video-m-64x48-bbb.md) | bbb | 64x48"
    assert index(tmp_path).splitlines()[-2:] == [
        f"| {where} | openvino int8 | 1.92 | 96% | 34.14 |",
        f"| {where} | ffmpeg minterpolate | 1.7 | - | 30.60 |",
    ]


def test_the_command_writes_the_readme(make_results: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROGRAM, main, ["index", str(tmp_path)]) == 1
    assert "python -m benchmarks latency --save writes one" in capsys.readouterr().err
    results = make_results({})
    results.save(tmp_path / "a" / file_name(results))
    assert main(["index", str(tmp_path)]) == 0
    assert (tmp_path / "README.md").read_text() == index(tmp_path)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("summary", {}),
        ("summary", {"baseline": {"tried_ms": {"NCHW": "150"}}}),
        ("settings", {"model": "ifrnet_s", "size": "wide"}),
        ("environment", {}),
    ],
)
def test_a_file_that_the_index_cannot_use_is_named(
    make_results: Make, tmp_path: Path, part: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    make_results({}).save(tmp_path / "one" / "latency-a.json")
    replace(make_results({}), **{part: value}).save(tmp_path / "two" / "latency-a.json")  # type: ignore[arg-type]
    assert run(PROGRAM, main, ["index", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'two' / 'latency-a.json'} is not a results file: " in line
    assert not (tmp_path / "README.md").exists()
