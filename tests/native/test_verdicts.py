"""Artifacts, proofs and verdicts in C++ and in Python: what one writes the other believes."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtimes.artifact import MANIFEST, Artifact, open_artifact
from runtimes.contract import Verdict
from runtimes.device import Device
from runtimes.environment import instruction_sets, processor
from runtimes.machine import Machine
from runtimes.proof import ProofResult, read_proof, run_proof
from runtimes.verdicts import FILE, Conditions, Record, believed, keep, records_of

Probe = Callable[..., bytes]

Refusal = Callable[..., str]

HERE = Machine(
    processor="A Processor",
    instruction_sets=("x86_64", "avx2", "fma"),
    versions={"ifrnet": "0.1.0", "ncnn": "1.0.20261020"},
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(artifact: Callable[..., Path], tmp_path: Path) -> Path:
    """An ncnn artifact of one's own."""
    path = tmp_path / "artifact"
    shutil.copytree(artifact("ncnn"), path)
    return path


@pytest.fixture
def opened(folder: Path) -> Artifact:
    return open_artifact(folder)


def conditions(opened: Artifact, machine: Machine = HERE, device: str = "native/cpu") -> Conditions:
    identity = opened.manifest.identity
    return Conditions(artifact=identity, backend="native", device=device, arithmetic="fp32", machine=machine)


def as_json(given: Conditions) -> bytes:
    data = {"device": given.device, "arithmetic": given.arithmetic, "machine": given.machine.to_json()}
    return json.dumps(data).encode()


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON of a manifest."""
    data = json.loads((folder / MANIFEST).read_text())
    change(data)
    (folder / MANIFEST).write_text(json.dumps(data, indent=1))


# ---- the artifact --------------------------------------------------------------------------------------------------


def rename(data: dict[str, Any]) -> None:
    data["name"] = "ä \U0001f600"


def describe(data: dict[str, Any]) -> None:
    data["details"] = {"options": {"use_winograd": False}, "x": [1e-7, 1.0, 2**70, None, {"width": 3, "height": 4}]}


def round_scale(data: dict[str, Any]) -> None:
    data["scale"] = 1


def add_unknown(data: dict[str, Any]) -> None:
    data["unknown"] = 5
    data["files"]["model.bin"]["unknown"] = 6


@pytest.mark.parametrize("change", [dict.copy, rename, describe, round_scale, add_unknown])
def test_the_identity_is_pythons(probe: Probe, folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    edit(folder, change)
    found = json.loads(probe("identity", folder))
    opened = open_artifact(folder)
    assert found["identity"] == opened.manifest.identity
    assert found["options"] == opened.manifest.details.get("options", {})
    assert found["any_timestep"] == (opened.manifest.timesteps == "any")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": 3}, "its format is 3"),
        ({"backend": "mnn"}, "of backend 'mnn'"),
        ({"precision": "fp8"}, "'fp8' is none"),
        ({"timesteps": "0.25"}, "'0.25' is none"),
        ({"name": 5}, "a text is expected"),
        ({"scale": "big"}, "a number is expected"),
        ({"files": {"../x": {"sha256": "", "bytes": 0}}}, "not plain"),
        ({"files": {"manifest.json": {"sha256": "", "bytes": 0}}}, "not plain"),
        ({"files": {f"f{i}": {"sha256": "", "bytes": 0} for i in range(65)}}, "more than 64"),
        ({"files": {"model.bin": {"sha256": "", "bytes": 2**40}}}, "a whole number from 0"),
        ({"files": {"model.bin": {"sha256": "", "bytes": 1}}}, "has changed"),
        ({"files": {"other.bin": {"sha256": "", "bytes": 1}}}, "other.bin is missing"),
        ({"files": {}}, "has no model.param"),
        ({"sizes": {"minimum": "1x1", "typical": "160x96", "maximum": "160x96"}}, "several sizes"),
        ({"sizes": dict.fromkeys(("minimum", "typical", "maximum"), "96x160")}, "the manifest says 96x160x3"),
        ({"sizes": dict.fromkeys(("minimum", "typical", "maximum"), "0x160")}, "expected WIDTHxHEIGHT"),
        ({"sizes": dict.fromkeys(("minimum", "typical", "maximum"), "99999x1")}, "expected WIDTHxHEIGHT"),
        ({"details": {"options": []}}, "an object with 'options'"),
        ({"parity": {}}, "a list is expected"),
        ({"parity": [{"device": "cpu"}]}, "it has no 'reason'"),
    ],
)
def test_a_manifest_that_lies_is_refused(refusal: Refusal, folder: Path, changes: dict[str, Any], match: str) -> None:
    edit(folder, lambda data: data.update(changes))
    assert match in refusal("identity", folder)


def test_files_are_held_against_their_sha256(refusal: Refusal, folder: Path) -> None:
    for name in ("model.bin", "model.param", "proof.dat"):
        original = (folder / name).read_bytes()
        for changed in (original[:-1], original + b"\0", original[:-1] + b"\1", b""):
            (folder / name).write_bytes(changed)
            assert f"{name} has changed" in refusal("identity", folder)
        (folder / name).unlink()
        assert f"{name} is missing" in refusal("identity", folder)
        (folder / name).write_bytes(original)
    (folder / MANIFEST).write_bytes(b" " * (4 * 2**20 + 1))
    assert "larger than" in refusal("identity", folder)
    (folder / MANIFEST).unlink()
    assert "is not an artifact" in refusal("identity", folder)


def test_a_network_that_lies_is_refused_with_its_sha256(refusal: Refusal, folder: Path) -> None:
    path = folder / "model.param"
    text = path.read_text().replace("Deconvolution deconv_54", "Deconvolution deconv_54", 1)
    lie = text.replace("0=3 ", "0=4 ", 1) if "0=3 " in text else text.replace("1=4 ", "1=5 ", 1)
    path.write_text(lie)
    digest = {"sha256": hashlib.sha256(lie.encode()).hexdigest(), "bytes": len(lie)}
    edit(folder, lambda data: data["files"].update({"model.param": digest}))
    assert "is no network for frames of 160x96" in refusal("identity", folder)


# ---- the proof -----------------------------------------------------------------------------------------------------


def outputs_of(opened: Artifact, source: Path | None) -> Callable[..., NDArray[np.float32]]:
    """What the probe's fake network answers."""

    def infer(img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> NDArray[np.float32]:
        if source is None:
            return np.repeat(np.float32(0.5) * (img0 + img1), len(t), axis=0)
        shape = (len(t), *img0.shape[1:])
        return np.fromfile(source, np.float32)[: math.prod(shape)].reshape(shape)

    return infer


@pytest.fixture(params=["mean", "noise", "nan"])
def source(request: pytest.FixtureRequest, opened: Artifact, tmp_path: Path) -> Path | None:
    """A file of outputs; None for the mean of both frames."""
    if request.param == "mean":
        return None
    size = opened.manifest.sizes.typical
    values = np.random.default_rng(0).random(8 * 3 * size.height * size.width, np.float32)
    if request.param == "nan":
        values[size.width + 7] = math.nan
    values.tofile(tmp_path / "outputs")
    return tmp_path / "outputs"


def close(found: float | str, expected: float) -> bool:
    return float(found) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_comparisons_are_pythons_and_the_record_is_read(
    probe: Probe, opened: Artifact, source: Path | None, cache: Path
) -> None:
    given = conditions(opened)
    found = json.loads(probe("keep", opened.folder, cache, source or "mean", data=as_json(given)))
    cases = read_proof(opened.contents["proof.dat"], opened.manifest.sizes)
    expected: list[ProofResult] = list(run_proof(outputs_of(opened, source), cases))
    assert len(found) == len(expected) > 2
    for item, result in zip(found, expected, strict=True):
        assert (item["size"], item["t"], item["together"]) == (str(result.size), result.t, result.together)
        assert item["trouble"] == result.trouble != ""
        assert all(close(item[key], getattr(result, key)) for key in ("max_error", "psnr", "block_error"))
    (record,) = records_of(opened)
    assert record.conditions == given
    assert record.verdict is Verdict.FAILED
    assert record.reason.startswith(f"at 160x96, t = {expected[0].t}: {expected[0].trouble}")
    belief = believed(opened, given)
    assert (belief.verdict, belief.own) == (Verdict.FAILED, True)
    assert json.loads((opened.folder / FILE).read_text())["records"][0]["results"] == found


def test_a_damaged_proof_is_refused(refusal: Refusal, folder: Path) -> None:
    original = (folder / "proof.dat").read_bytes()
    length = int.from_bytes(original[12:16], "little")
    for data, match in (
        (original[:15], "has 15 bytes"),
        (b"X" + original[1:], "does not begin"),
        (original[:8] + b"\2" + original[9:], "of format 2"),
        (original[:12] + b"\xff\xff\xff\x7f" + original[16:], "longer than the file"),
        (original[:-1], "are needed"),
        (original + b"\0", "follow the last"),
        (original[: 16 + length] + b"\xff" * 8 + original[24 + length :], "beyond the frame"),
        (original.replace(b'"patch":4', b'"patch":5'), "from 4 to 4"),
        (original.replace(b'"width":160', b'"width":161'), "the artifact takes 160x96"),
        (original.replace(b'"block":32', b'"block":33'), "from 32 to 32"),
        (
            re.sub(rb'"radius":\d', b'"radius":%d' % (1 + original[original.index(b'"radius":') + 9] % 9), original),
            "sha256",
        ),
    ):
        assert data != original
        (folder / "proof.dat").write_bytes(data)
        digest = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        edit(folder, lambda manifest, digest=digest: manifest["files"].update({"proof.dat": digest}))  # type: ignore[misc]
        assert match in refusal("keep", folder, "", "mean", data=b'{"device":"","arithmetic":"","machine":{}}')


# ---- records -------------------------------------------------------------------------------------------------------


def believes(probe: Probe, opened: Artifact, given: Conditions, cache: Path) -> tuple[str, str, bool]:
    found = json.loads(probe("believed", opened.folder, cache, data=as_json(given)))
    return found["verdict"], found["reason"], found["own"]


def record_of(opened: Artifact, verdict: Verdict = Verdict.PASSED, **changes: Any) -> Record:
    cases = read_proof(opened.contents["proof.dat"], opened.manifest.sizes)
    results = tuple(run_proof(outputs_of(opened, None), cases))
    results += (replace(results[0], max_error=math.inf, psnr=-math.inf, block_error=1e-7, t=1 / 3),)
    given = replace(conditions(opened), **changes)
    return Record(conditions=given, verdict=verdict, reason="ä", results=results, created="2026-01-01T00:00:00+00:00")


def test_a_record_of_python_is_believed(probe: Probe, opened: Artifact, cache: Path) -> None:
    keep(opened.folder, record_of(opened, Verdict.FAILED))
    assert believes(probe, opened, conditions(opened), cache) == ("failed", "ä", True)
    keep(opened.folder, record_of(opened))
    assert believes(probe, opened, conditions(opened), cache) == ("passed", "ä", True)


OTHERS: list[dict[str, Any]] = [
    {"backend": "ncnn"},
    {"device": "native/vulkan:0"},
    {"device": "cpu"},
    {"arithmetic": "fp16"},
    {"artifact": "0" * 64},
    {"machine": replace(HERE, processor="B")},
    {"machine": replace(HERE, instruction_sets=("x86_64", "avx2"))},
    {"machine": replace(HERE, driver="1")},
    {"machine": replace(HERE, versions={**HERE.versions, "ncnn": "2"})},
]


@pytest.mark.parametrize("changes", OTHERS, ids=[next(iter(change)) for change in OTHERS])
def test_a_record_of_other_conditions_is_not_believed(
    probe: Probe, opened: Artifact, cache: Path, changes: dict[str, Any]
) -> None:
    keep(opened.folder, record_of(opened, **changes))
    verdict, reason, own = believes(probe, opened, conditions(opened), cache)
    assert (verdict, own) == ("not run", False)
    assert "holds verdicts of other conditions only" in reason


def test_a_record_that_was_edited_is_not_believed(probe: Probe, opened: Artifact, cache: Path) -> None:
    keep(opened.folder, record_of(opened, Verdict.FAILED))
    path = opened.folder / FILE
    text = path.read_text()
    for changed in (text.replace('"failed"', '"passed"'), text[:-10], "", "[]", text.replace('ormat": 1', 'ormat": 2')):
        path.write_text(changed)
        assert believes(probe, opened, conditions(opened), cache)[0] == "not run"


def test_records_of_both_live_in_one_file(probe: Probe, opened: Artifact, cache: Path) -> None:
    keep(opened.folder, record_of(opened, backend="ncnn", device="cpu"))
    probe("keep", opened.folder, cache, "mean", data=as_json(conditions(opened)))
    keep(opened.folder, record_of(opened, device="native/vulkan:0"))
    probe("keep", opened.folder, cache, "mean", data=as_json(conditions(opened)))
    kept = [(r.conditions.backend, r.conditions.device, r.verdict) for r in records_of(opened)]
    assert kept == [
        ("ncnn", "cpu", "passed"),
        ("native", "native/vulkan:0", "passed"),
        ("native", "native/cpu", "failed"),
    ]
    assert {path.name for path in opened.folder.iterdir()} == {*opened.contents, MANIFEST, FILE}


def test_64_records_are_kept(probe: Probe, opened: Artifact, cache: Path) -> None:
    record = record_of(opened)
    for i in range(64):
        keep(opened.folder, replace(record, conditions=replace(record.conditions, device=f"vulkan:{i}"), results=()))
    probe("keep", opened.folder, cache, "mean", data=as_json(conditions(opened)))
    devices = [record.conditions.device for record in records_of(opened)]
    assert devices == [*(f"vulkan:{i}" for i in range(1, 64)), "native/cpu"]


@pytest.fixture
def unwritable(folder: Path) -> Path:
    """A folder in which no record can be replaced: a folder has the file's name."""
    (folder / FILE).mkdir()
    (folder / FILE / "x").touch()
    return folder


def test_the_cache_keeps_what_the_folder_cannot(
    probe: Probe, refusal: Refusal, unwritable: Path, tmp_path: Path, cache: Path
) -> None:
    opened = open_artifact(unwritable)
    given = conditions(opened)
    probe("keep", unwritable, "", "mean", data=as_json(given))
    assert not cache.exists()
    probe("keep", unwritable, cache, "mean", data=as_json(given))
    assert believes(probe, opened, given, cache)[::2] == ("failed", True)
    assert believes(probe, opened, given, Path(""))[::2] == ("not run", False)
    assert [path.name for path in (cache / "verdicts").iterdir()] == [f"{opened.manifest.identity}.json"]
    (tmp_path / "file").touch()
    assert "let options.cache or IFRNET_CACHE name a folder that can be written" in refusal(
        "keep", unwritable, tmp_path / "file", "mean", data=as_json(given)
    )


def entry(**changes: Any) -> dict[str, Any]:
    plain = {"device": "native/cpu", "verdict": "passed", "reason": "", "arithmetic": "fp32", "machine": HERE.to_json()}
    return {**plain, "max_error_limit": None, "psnr_limit": None, "results": [], **changes}


NEVER = "never compared on native/cpu"


@pytest.mark.parametrize(
    ("entries", "verdict", "reason"),
    [
        ([], "not run", NEVER),
        ([entry()], "passed", ""),
        ([entry(device="cpu")], "not run", NEVER),
        ([entry(device="cpu", verdict="failed")], "not run", NEVER),
        ([entry(verdict="failed", reason="bad")], "failed", "bad"),
        ([entry(device="native/vulkan:0", verdict="failed")], "not run", NEVER),
        ([entry(verdict="not run", reason="no time")], "not run", "no time"),
        ([entry(verdict="file checked", reason="read back")], "not run", "read back"),
        ([entry(verdict="passed (emulated)", reason="emulated")], "not run", "emulated"),
        ([entry(arithmetic="bf16")], "not run", "proved in bf16, fp32 runs here"),
        ([entry(arithmetic="bf16"), entry()], "passed", ""),
        ([entry(), entry(verdict="failed", reason="bad")], "failed", "bad"),
        ([entry(verdict="failed", reason="bad"), entry()], "failed", "bad"),
        ([entry(machine=None)], "not run", "proved on a native/cpu that the manifest does not describe"),
        ([entry(machine=replace(HERE, processor="B").to_json())], "passed", ""),
        ([entry(machine=replace(HERE, versions={}).to_json())], "passed", ""),
        (
            [entry(machine=replace(HERE, instruction_sets=("x86_64", "sve")).to_json())],
            "not run",
            "proved on A Processor; this processor is one without sve and with avx2, fma",
        ),
    ],
)
def test_what_a_manifest_is_believed(
    probe: Probe, folder: Path, cache: Path, entries: list[dict[str, Any]], verdict: str, reason: str
) -> None:
    edit(folder, lambda data: data.update(parity=entries))
    opened = open_artifact(folder)
    assert believes(probe, opened, conditions(opened), cache) == (verdict, reason, False)


def test_what_ncnn_proved_from_python_is_not_proved_here(
    probe: Probe, opened: Artifact, folder: Path, cache: Path
) -> None:
    edit(folder, lambda data: data.update(parity=[one for one in data["parity"] if one["device"] == "cpu"]))
    machine = opened.manifest.parity_on("cpu").machine
    assert machine is not None
    assert believes(probe, opened, conditions(opened, machine), cache) == ("not run", NEVER, False)


# ---- the machine ---------------------------------------------------------------------------------------------------


def test_the_machine_is_pythons(probe: Probe) -> None:
    found = Machine.parse(json.loads(probe("machine")))
    versions = {"ifrnet": "0.1.0", "ncnn": "1.0.20261020"}
    assert found == Machine(processor=processor(), instruction_sets=instruction_sets(), versions=versions)


@pytest.mark.parametrize("kind", ["native/cpu", "native/vulkan"])
@pytest.mark.parametrize(
    "sets", [HERE.instruction_sets, ("aarch64", "asimd"), ("x86_64", "avx2"), (*HERE.instruction_sets, "f")]
)
def test_machines_differ_in_the_same_words(probe: Probe, sets: tuple[str, ...], kind: str) -> None:
    other = replace(HERE, instruction_sets=sets, device="GPU" if sets[0] == "aarch64" else "")
    data = json.dumps({"here": HERE.to_json(), "there": other.to_json()}).encode()
    assert probe("difference", kind, data=data).decode() == HERE.difference(other, Device(name=kind))
