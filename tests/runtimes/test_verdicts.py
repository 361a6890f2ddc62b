"""Which verdict is believed where, and the file that remembers those of this machine."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtimes
import runtimes.verdicts as module
from runtimes import ArtifactError, BackendError, ParityError, ParityNotRunWarning, VerdictWarning, load, verify
from runtimes.artifact import EMULATOR, MANIFEST, SAVED_FILE, Manifest, open_artifact, read_manifest
from runtimes.backends import onnxruntime
from runtimes.cli import run
from runtimes.contract import Verdict
from runtimes.device import Device
from runtimes.machine import Machine
from runtimes.proof import FILE as PROOF
from runtimes.proof import ProofResult
from runtimes.registry import backend
from runtimes.tuning import Tuning
from runtimes.verdicts import FILE


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_said", set())
    return tmp_path / "cache" / "verdicts"


@pytest.fixture
def folder(artifact: Callable[..., Path], tmp_path: Path) -> Path:
    """An ONNX artifact of one's own."""
    path = tmp_path / "artifact"
    shutil.copytree(artifact("onnx"), path)
    return path


def edit(folder: Path, change: Callable[[Manifest], Manifest]) -> None:
    (folder / MANIFEST).write_text(change(read_manifest(folder)).to_json())


def with_machine(**changes: Any) -> Callable[[Manifest], Manifest]:
    """Let the verdicts of a manifest be of another machine."""

    def change(manifest: Manifest) -> Manifest:
        return replace(
            manifest,
            parity=tuple(
                replace(record, machine=replace(record.machine, **changes)) if record.machine else record
                for record in manifest.parity
            ),
        )

    return change


def with_arithmetic(arithmetic: str) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        return replace(manifest, parity=tuple(replace(r, arithmetic=arithmetic) for r in manifest.parity))

    return change


def unproved(folder: Path, match: str) -> None:
    with pytest.warns(ParityNotRunWarning, match=match) as caught:
        load(folder, threads=1).close()
    assert f"python -m runtimes verify {folder} --device cpu" in str(caught[0].message)


# ---- what a manifest is believed -----------------------------------------------------------------------------------


def test_the_manifest_says_where_a_verdict_was_won(folder: Path) -> None:
    record = read_manifest(folder).parity_on("cpu")
    assert record.machine == Machine.here(backend("onnxruntime").ABOUT, Device(name="cpu"))
    assert record.machine is not None
    assert record.machine.processor
    assert record.machine.instruction_sets
    assert list(record.machine.versions) == ["onnxruntime"]
    assert read_manifest(folder).parity_on("cuda:0").machine is None


def test_the_same_machine_is_believed(folder: Path) -> None:
    load(folder, threads=1).close()


@pytest.mark.parametrize(
    ("sets", "match"),
    [
        (("x86_64", "avx2"), "proved on AMD Old; this processor is one"),
        (("aarch64", "asimd", "asimdhp"), "proved on AMD Old; this processor is one without a"),
    ],
)
def test_another_instruction_set_is_not_believed(folder: Path, sets: tuple[str, ...], match: str) -> None:
    edit(folder, with_machine(instruction_sets=sets, processor="AMD Old"))
    unproved(folder, match)


def test_the_name_of_the_processor_alone_does_not_matter(folder: Path) -> None:
    edit(folder, with_machine(processor="AMD Old"))
    load(folder, threads=1).close()


def test_another_arithmetic_is_not_believed(folder: Path) -> None:
    """An fp16 artifact that passed in float32 loads on a CPU that runs it in fp16."""
    edit(folder, with_arithmetic("fp16"))
    unproved(folder, "proved in fp16, fp32 runs here")


def with_record(**changes: Any) -> Callable[[Manifest], Manifest]:
    """Let the first verdict be another; the others are dropped."""
    return lambda manifest: replace(manifest, parity=(replace(manifest.parity[0], **changes),))


@pytest.mark.parametrize("device", ["cpu", SAVED_FILE])
def test_a_file_that_was_checked_is_not_proved_on_a_device(folder: Path, device: str) -> None:
    edit(folder, with_record(device=device, verdict=Verdict.CHECKED, reason="read back and computed"))
    unproved(folder, "parity not run on cpu: read back and computed")


@pytest.mark.parametrize("device", ["cpu", EMULATOR])
def test_what_passed_in_an_emulation_is_not_proved_on_a_device(folder: Path, device: str) -> None:
    edit(folder, with_record(device=device, verdict=Verdict.EMULATED, reason="its maker's emulation ran it"))
    unproved(folder, "parity not run on cpu: its maker's emulation ran it")


def test_what_failed_in_an_emulation_is_refused_on_every_device(folder: Path) -> None:
    edit(folder, with_record(device=EMULATOR, verdict=Verdict.FAILED, reason="a wrong compiler"))
    with pytest.raises(ParityError, match=r"failed parity on cpu \(a wrong compiler"):
        load(folder, threads=1)


def test_a_proof_that_passes_in_an_emulation_is_said_to_be_that(folder: Path) -> None:
    artifact = open_artifact(folder)
    emulated = Device(name="cpu", emulates="another processor")
    with onnxruntime.open_runtime(artifact, "cpu", Tuning()) as runtime:
        record = module.prove(artifact, runtime, emulated, Machine.here(onnxruntime.ABOUT, emulated))
    assert record.verdict is Verdict.EMULATED
    load(folder, threads=1).close()  # in silence: it is this machine's own


def test_no_verdict_on_a_file_is_one_on_a_device(folder: Path) -> None:
    edit(folder, with_record(device=SAVED_FILE, verdict=Verdict.PASSED, reason="read back"))
    unproved(folder, "parity not run on cpu: read back")


def test_a_file_that_failed_is_refused_on_every_device(folder: Path) -> None:
    edit(folder, with_record(device=SAVED_FILE, verdict=Verdict.FAILED, reason="a wrong warp"))
    with pytest.raises(ParityError, match=r"failed parity on cpu \(a wrong warp"):
        load(folder, threads=1)


@pytest.mark.parametrize("order", [(Verdict.PASSED, Verdict.FAILED), (Verdict.FAILED, Verdict.PASSED)])
def test_a_failure_counts_beside_another_device_that_passed(folder: Path, order: tuple[Verdict, ...]) -> None:
    edit(
        folder,
        lambda manifest: replace(
            manifest, parity=tuple(replace(manifest.parity[0], verdict=v, reason="bad memory") for v in order)
        ),
    )
    with pytest.raises(ParityError, match=r"failed parity on cpu \(bad memory"):
        load(folder, threads=1)


def test_a_record_of_a_checked_file_proves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes.registry, "_believed", lambda *_, **__: module.Belief(verdict=Verdict.CHECKED))
    with pytest.warns(ParityNotRunWarning):
        load(folder, threads=1).close()


def test_another_version_of_the_backend_is_said_once(folder: Path) -> None:
    edit(folder, with_machine(versions={"onnxruntime": "1.0"}))
    with pytest.warns(VerdictWarning, match=r"was proved with onnxruntime 1\.0, onnxruntime .* runs it") as caught:
        load(folder, threads=1).close()
    assert not issubclass(caught[0].category, ParityNotRunWarning)
    load(folder, threads=1).close()


def test_a_device_that_was_not_tried(folder: Path) -> None:
    edit(folder, lambda manifest: replace(manifest, parity=()))
    unproved(folder, "never compared on cpu")


def test_another_gpu_is_not_believed() -> None:
    here = Machine(processor="a", instruction_sets=("x86_64",), device="NVIDIA H100")
    assert (
        here.difference(replace(here, device="NVIDIA T4"), Device(name="cuda"))
        == "proved on NVIDIA T4, this is NVIDIA H100"
    )
    assert here.difference(replace(here, instruction_sets=("aarch64",), driver="1"), Device(name="cuda")) == ""


# ---- the proof of this machine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["onnx", "openvino", "ncnn", "mnn", "litert", "executorch"])
def test_an_artifact_proves_itself(target: str, artifact: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / target
    shutil.copytree(artifact(target), path)
    record = verify(path)
    assert record.verdict is Verdict.PASSED
    assert record.conditions.arithmetic == "fp32"
    assert [(r.t, r.together) for r in record.results] == [(0.25, False), (0.5, False), (0.25, True), (0.5, True)]
    assert all(r.psnr > 80.0 for r in record.results)
    assert (path / FILE).is_file()
    assert read_manifest(path).parity == read_manifest(artifact(target)).parity


def test_a_free_size_is_proved_at_two(artifact: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "dynamic"
    shutil.copytree(artifact("onnx", dynamic=True), path)
    assert len({r.size for r in verify(path).results}) == 2


def test_what_was_proved_here_is_believed(folder: Path) -> None:
    edit(folder, with_machine(instruction_sets=("aarch64",)))
    verify(folder)
    load(folder, threads=1).close()


def test_verify_on_loading_is_done_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(folder, with_arithmetic("fp16"))
    load(folder, threads=1, verify=True).close()
    monkeypatch.setattr(module, "run_proof", None)
    load(folder, threads=1, verify=True).close()
    load(folder, threads=1).close()


def broken(folder: Path) -> None:
    """Another answer in the proof, with a manifest that knows the file."""
    data = bytearray((folder / PROOF).read_bytes())
    data[-4000:] = np.full(1000, 0.25, "<f4").tobytes()
    (folder / PROOF).write_bytes(data)
    from runtimes.artifact import describe_files

    (folder / FILE).unlink(missing_ok=True)
    edit(folder, lambda manifest: replace(manifest, files=describe_files(folder)))


def test_a_failed_proof_is_refused_from_then_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken(folder)
    load(folder, threads=1).close()  # the manifest's verdict stands until the proof was run
    code = run("python -m runtimes", runtimes_main, ["verify", str(folder)])
    assert code == 2
    assert "cpu (fp32): failed: at 160x96, t = 0.5: max error" in capsys.readouterr().out
    with pytest.raises(ParityError, match="failed parity on cpu"):
        load(folder, threads=1)
    load(folder, threads=1, allow_failed=True).close()
    with pytest.raises(ParityError):
        load(folder, threads=1, verify=True)


def runtimes_main(arguments: Any) -> int:
    from runtimes.__main__ import main

    return main(arguments)


def test_the_command_prints_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("python -m runtimes", runtimes_main, ["verify", str(folder), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("cpu: ")
    assert "onnxruntime" in lines[0]
    assert lines[1].split() == ["size", "t", "asked", "for", "PSNR", "dB", "max", "error", "block", "error", "verdict"]
    assert len(lines) == 7
    assert lines[-1] == "cpu (fp32): passed"


def test_all_devices_say_why_they_are_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("python -m runtimes", runtimes_main, ["verify", str(folder), "--all"]) == 0
    captured = capsys.readouterr()
    assert "cpu (fp32): passed" in captured.out
    assert "cuda:0: not run: " in captured.err


# ---- files that are missing, damaged, or of somebody else ------------------------------------------------------------


def one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run("python -m runtimes", runtimes_main, arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_an_artifact_without_a_proof(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder, lambda manifest: replace(manifest, files={k: v for k, v in manifest.files.items() if k != PROOF}))
    assert "has no proof.dat" in one_line(["verify", str(folder)], capsys)
    with pytest.raises(ArtifactError, match="cannot be proved here: export it again"):
        load(folder, threads=1, verify=True)


def test_a_proof_that_is_gone_or_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / PROOF).write_bytes((folder / PROOF).read_bytes()[:-1])
    assert "proof.dat has changed" in one_line(["verify", str(folder)], capsys)
    (folder / PROOF).unlink()
    assert "proof.dat is missing" in one_line(["verify", str(folder)], capsys)


def test_a_device_that_is_gone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "onnxruntime has no device 'cuda:7' here" in one_line(["verify", str(folder), "--device", "cuda:7"], capsys)


@pytest.fixture
def proved(folder: Path) -> Path:
    """An artifact whose only verdict is that of this machine."""
    verify(folder)
    edit(folder, with_arithmetic("fp16"))
    return folder


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    yield from json.loads((folder / FILE).read_text())["records"]


def test_a_record_that_was_edited_is_ignored_and_named(proved: Path) -> None:
    text = (proved / FILE).read_text()
    (proved / FILE).write_text(text.replace('"passed"', '"failed"', 1))
    with pytest.warns() as caught:
        load(proved, threads=1).close()
    messages = [str(item.message) for item in caught]
    assert any(f"{proved / FILE} is ignored: a record was changed after it was written" in m for m in messages)
    assert any("parity not run on cpu" in m for m in messages)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 200_000, '{"format": 2}', '{"format": 1, "records": [3]}'])
def test_a_file_that_is_damaged_is_ignored_and_named(proved: Path, text: str) -> None:
    (proved / FILE).write_text(text)
    with pytest.warns() as caught:
        load(proved, threads=1).close()
    assert any("verdicts.json is ignored: " in str(item.message) for item in caught)
    assert not any("\n" in str(item.message) for item in caught)


def test_a_record_of_another_machine_is_ignored_and_named(proved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Machine.here
    monkeypatch.setattr(Machine, "here", staticmethod(lambda *_: replace(before(*_), processor="another")))
    unproved(proved, "verdicts.json holds verdicts of other conditions only")


def test_a_record_of_another_artifact_is_ignored(proved: Path) -> None:
    edit(proved, lambda manifest: replace(manifest, details={**manifest.details, "note": "changed"}))
    unproved(proved, "other conditions only")


def test_a_new_record_replaces_the_old_one_of_the_same_conditions(proved: Path) -> None:
    verify(proved)
    verify(proved)
    assert len(list(entries(proved))) == 1


def test_a_folder_that_cannot_be_written(folder: Path, own_cache: Path) -> None:
    (folder / FILE).mkdir()  # root may write everywhere, so a folder stands in the way
    edit(folder, with_arithmetic("fp16"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerdictWarning)
        verify(folder)
        (cached,) = own_cache.iterdir()
        assert cached.name == f"{read_manifest(folder).identity}.json"
        warnings.simplefilter("error", ParityNotRunWarning)
        load(folder, threads=1).close()


def test_a_user_without_a_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under any number."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.delenv("IFRNET_CACHE")
    monkeypatch.setattr(Path, "home", homeless)
    load(folder, threads=1).close()
    monkeypatch.setattr(module, "write_text", refuse)
    with pytest.warns(VerdictWarning, match="could not be kept .*let IFRNET_CACHE name .*no home folder"):
        assert verify(folder).verdict is Verdict.PASSED


@pytest.mark.parametrize("wrong", [False, True], ids=["passed", "failed"])
def test_a_verdict_that_can_be_kept_nowhere(
    folder: Path, wrong: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    if wrong:
        broken(folder)
    monkeypatch.setattr(module, "write_text", refuse)
    assert run("python -m runtimes", runtimes_main, ["verify", str(folder)]) == (2 if wrong else 0)
    captured = capsys.readouterr()
    assert f"cpu (fp32): {'failed: at 160x96' if wrong else 'passed'}" in captured.out
    assert captured.err.count("\n") == 1, captured.err
    assert re.match("warning: the verdict on .* let IFRNET_CACHE name .* Permission denied", captured.err)
    with pytest.warns(VerdictWarning, match="could not be kept"):
        assert (verify(folder).verdict is Verdict.FAILED) == wrong


def test_a_proof_that_could_not_be_computed_is_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is short now may be there next time."""

    def fail(*_: object) -> Iterator[ProofResult]:
        raise BackendError("not enough memory")

    edit(folder, with_arithmetic("fp16"))
    with monkeypatch.context() as patch:
        patch.setattr(module, "run_proof", fail)
        record = verify(folder)
    assert (record.verdict, record.reason) == (Verdict.FAILED, "not enough memory")
    assert not (folder / FILE).exists()
    assert verify(folder).verdict is Verdict.PASSED


def test_the_identity_is_that_of_what_is_computed(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert replace(manifest, parity=(), created="").identity == manifest.identity
    assert replace(manifest, files={}).identity != manifest.identity
    assert replace(manifest, precision=runtimes.contract.Precision.INT8).identity != manifest.identity
