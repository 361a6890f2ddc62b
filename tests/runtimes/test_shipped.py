"""The artifacts that come with the package, and which one is taken where the user names none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import runtimes
import runtimes.shipped as module
from export import ship
from export.pipeline import NOT_CARRIED
from runtimes import ArtifactError, BackendError, ParityError, VerdictWarning, registry, verdicts
from runtimes.__main__ import main
from runtimes.artifact import MANIFEST, open_artifact, sha256_of
from runtimes.atomic import write_text
from runtimes.cli import run
from runtimes.contract import Size, Verdict
from runtimes.environment import instruction_sets
from runtimes.proof import FILE as PROOF
from runtimes.shipped import FOLDER, MODEL, PREFERENCE
from runtimes.video.artifact_for_size import choose_artifact
from runtimes.video.errors import VideoError
from runtimes.video.options import InferOptions
from runtimes.video.stills import read_image, write_image
from tests.export.conftest import run_elsewhere
from tests.export.test_reproducible import assert_same
from tests.runtimes.video.clips import Clip, draw, even, read_video, write_clip

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "assets" / "bbb"
SIZE = Size(160, 96)

every = pytest.mark.parametrize("item", PREFERENCE, ids=lambda item: item.name)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what ships, without verdicts of this machine, and an empty cache."""
    folder = tmp_path / "artifacts"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns(verdicts.FILE, "tuning.json"))
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "FOLDER", folder)
    return folder


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this machine remembers of the first one, after its proof passed."""
    folder = tmp_path_factory.mktemp("proved") / PREFERENCE[0].name
    shutil.copytree(PREFERENCE[0].folder, folder, ignore=shutil.ignore_patterns(verdicts.FILE, "tuning.json"))
    assert runtimes.verify(folder).verdict is Verdict.PASSED
    return folder / verdicts.FILE


@pytest.fixture
def proved(installed: Path, record: Path) -> Path:
    """The same as ``installed``, and the first one is proved already."""
    shutil.copy(record, installed / PREFERENCE[0].name)
    return installed


def without(monkeypatch: pytest.MonkeyPatch, *backends: str) -> None:
    """Let backends be missing."""
    for name in backends:
        monkeypatch.setattr(registry.BACKENDS[name], "missing", lambda name=name: f"{name} is not installed: pip x")


def spoil(installed: Path, name: str) -> None:
    """Let the proof of a shipped artifact ask for more than any arithmetic gives."""
    folder = installed / name
    proof = (folder / PROOF).read_bytes()
    length = int.from_bytes(proof[12:16], "little")
    header = json.loads(proof[16 : 16 + length])
    for case in header["cases"]:
        for answer in case["answers"]:
            answer["limits"] = {"max_error": 1e-9, "psnr": 200.0, "block_error": 1e-9}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    (folder / PROOF).write_bytes(proof[:12] + len(text).to_bytes(4, "little") + text + proof[16 + length :])
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][PROOF] = {"sha256": sha256_of(folder / PROOF), "bytes": (folder / PROOF).stat().st_size}
    (folder / MANIFEST).write_text(json.dumps(manifest))


# ---- what ships --------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_the_list_says() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(item.name for item in PREFERENCE)


@every
def test_it_is_whole_and_of_the_checkpoint_in_this_repository(item: module.Shipped) -> None:
    manifest = open_artifact(item.folder).manifest
    checkpoint = ROOT / "ifrnet" / "checkpoints" / f"{MODEL}.safetensors"
    assert manifest.checkpoint["sha256"] == sha256_of(checkpoint), "new weights: make artifacts"
    provenance = json.loads(checkpoint.with_suffix(".json").read_text())
    assert manifest.checkpoint["provenance"] == {k: v for k, v in provenance.items() if k not in NOT_CARRIED}
    options = ship.options_of(item, FOLDER, force=False)
    assert (manifest.name, manifest.target, manifest.precision) == (item.name, item.target, item.precision)
    assert (manifest.sizes, manifest.scale) == (options.sizes, 1.0)
    assert {record.verdict for record in manifest.parity} <= {Verdict.PASSED, Verdict.NOT_RUN}
    assert manifest.parity_on("cpu").verdict is Verdict.PASSED


@every
def test_it_holds_nothing_that_the_manifest_does_not(item: module.Shipped) -> None:
    """What lies beside the files, git ignores and the wheel leaves out."""
    found = {path.name for path in item.folder.iterdir()} - {verdicts.FILE, "tuning.json"}
    assert found == {MANIFEST, *open_artifact(item.folder).manifest.files}


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 20e6


@every
def test_its_proof_passes_here(item: module.Shipped, installed: Path) -> None:
    if reason := registry.backend(open_artifact(item.folder).manifest.backend).missing():
        pytest.skip(reason)
    assert runtimes.verify(item.folder).verdict is Verdict.PASSED


# ---- which one is taken ------------------------------------------------------------------------------------------


def test_the_first_that_is_proved_is_taken_and_proved_once(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = PREFERENCE[0]
    img0, img1 = draw(0, SIZE), draw(2, SIZE)
    with runtimes.load() as runtime:
        assert runtime.spec.name == first.name
        middle = runtime.interpolate(img0, img1)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0] == f"proving {first.name} on cpu, once on this machine: a few seconds"
    assert said[1].startswith(f"{first.name} on cpu: passed in ")
    with runtimes.load(first.folder) as runtime:
        assert np.array_equal(runtime.interpolate(img0, img1), middle)
    runtimes.load().close()
    assert capsys.readouterr().err == "", "it is remembered"


def test_another_one_is_taken_where_a_backend_is_missing(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "openvino")
    with runtimes.load(device="cpu") as runtime:
        assert runtime.spec.backend == "onnxruntime"
    assert "passed over" not in capsys.readouterr().err


def test_one_that_fails_its_proof_is_passed_over_with_the_reason(installed: Path) -> None:
    spoil(installed, PREFERENCE[0].name)
    said: list[str] = []
    assert registry.best(tell=said.append).shipped == PREFERENCE[1]
    assert said[1].startswith(f"{PREFERENCE[0].name} on cpu: failed in ")
    assert said[-1].startswith(f"passed over: {PREFERENCE[0].name} failed its proof on cpu (at ")
    with pytest.raises(ParityError, match="failed parity on cpu"):
        runtimes.load(PREFERENCE[0].folder)


def test_none_that_passes_is_an_error(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "onnxruntime")
    for item in PREFERENCE[:2]:
        spoil(installed, item.name)
    with pytest.raises(ParityError, match=r"can run here: .*-int8-.*; .*-fp16-.*onnxruntime is not installed: pip x"):
        registry.best(tell=lambda line: None)


def test_no_backend_is_one_line_that_names_the_extras(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    a, b = (str(PICTURES / f"frame{i}.png") for i in (0, 1))
    assert run("python -m runtimes", main, ["interpolate", a, b, "-o", str(tmp_path / "mid.png")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'ifrnet-export[openvino]'" in line
    assert "pip install 'ifrnet-export[onnx]'" in line
    assert not (tmp_path / "mid.png").exists()


def test_a_device_picks_among_those_that_have_it(installed: Path) -> None:
    with pytest.raises(BackendError, match=r"openvino has no device 'tpu:0' here.*; onnxruntime has no device 'tpu:0'"):
        runtimes.load(device="tpu:0")


def test_every_device_of_a_job_needs_its_proof(installed: Path) -> None:
    with pytest.raises(BackendError, match="no device 'tpu:0'"):
        registry.best(("cpu", "tpu:0"))


def test_a_changed_file_is_refused(installed: Path) -> None:
    with (PREFERENCE[0].folder / "model.bin").open("r+b") as file:
        file.write(b"another")
    with pytest.raises(ArtifactError, match="has changed since it was exported"):
        runtimes.load()


def test_a_verdict_that_can_be_kept_nowhere_is_a_warning(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(verdicts, "write_text", refuse)
    with pytest.warns(VerdictWarning, match="could not be kept .* let IFRNET_CACHE name a folder"):
        runtimes.load().close()


def test_a_read_only_installation_is_remembered_in_the_cache(
    installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def outside_of_the_package(path: Path, text: str) -> None:
        if installed in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        write_text(path, text)

    monkeypatch.setattr(verdicts, "write_text", outside_of_the_package)
    said: list[str] = []
    registry.best(tell=said.append)
    assert list((tmp_path / "cache" / "verdicts").iterdir())
    count = len(said)
    registry.best(tell=said.append)
    assert len(said) == count, "it is remembered"


# ---- the command lines -------------------------------------------------------------------------------------------


def test_artifacts_lists_them_in_order(
    proved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "onnxruntime")
    assert main(["artifacts"]) == 0
    head, *lines, where = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "backend", "precision", "sizes", "MB", "here"]
    assert [line.split()[0] for line in lines] == [item.name for item in PREFERENCE]
    assert "32x32 to 4096x4096" in lines[0]
    assert "passed on cpu (int8 with " in lines[0]
    assert lines[-1].endswith("cannot run: onnxruntime is not installed: pip x")
    assert where == f"They are in {proved}"


def test_interpolate_without_an_artifact(proved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a part of a real pair, whose true middle is known."""
    box = (320, 180, 960, 540)
    for name in ("frame0", "middle", "frame1"):
        with Image.open(PICTURES / f"{name}.png") as image:
            image.crop(box).save(tmp_path / f"{name}.png")
    a, b, target = (tmp_path / name for name in ("frame0.png", "frame1.png", "made.png"))
    assert main(["interpolate", str(a), str(b), "-o", str(target)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[-2].startswith(f"using {PREFERENCE[0].name} (openvino cpu, int8 with ")
    assert "--size 640x360" in said[-1]
    first, last, truth, made = (read_image(path).astype(float) for path in (a, b, tmp_path / "middle.png", target))
    error, of_the_mean = ((made - truth) ** 2).mean(), (((first + last) / 2 - truth) ** 2).mean()
    assert error < of_the_mean / 4


def test_a_video_without_an_artifact(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = Size(150, 86)
    clip = Clip(times=even(25, 4), size=size, pictures=lambda i: draw(2 * i, size))
    source, target = write_clip(tmp_path / "in.mp4", clip), tmp_path / "out.mp4"
    assert main(["video", str(source), str(target)]) == 0
    said = capsys.readouterr().err
    assert f"using {PREFERENCE[0].name} " in said
    assert "passed in " in said
    assert len(read_video(target)) == 8


def test_a_demo_without_an_artifact(proved: Path, tmp_path: Path) -> None:
    for i in (0, 1):
        write_image(draw(3 * i, SIZE), tmp_path / f"{i}.png")
    out = tmp_path / "gifs"
    assert main(["demo", str(tmp_path / "0.png"), str(tmp_path / "1.png"), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["out_2x.gif", "out_8x.gif"]


def test_frames_beyond_the_range_are_one_line(
    proved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    size = Size(24, 16)
    for i in (0, 1):
        write_image(np.full((16, 24, 3), 100 * i, np.uint8), tmp_path / f"{i}.png")
    assert run("python -m runtimes", main, ["interpolate", "0.png", "1.png", "-o", "mid.png"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "frames are 24x16, the artifact takes 32x32 to 4096x4096" in line
    with pytest.raises(VideoError, match=r"pass --export, or run python -m export .* --size 24x16 --out artifacts$"):
        choose_artifact(InferOptions(artifact=PREFERENCE[0].folder), size, export=False, note=lambda line: None)


GROWTH = """
import sys
import numpy as np
import runtimes

def megabytes():
    fields = open("/proc/self/statm").read().split()
    return int(fields[1]) * 4096 / 2**20

with runtimes.load(sys.argv[1]) as runtime:
    for number in range(80):
        frame = np.zeros((96 + 16 * (number % 10), 96 + 16 * (number // 10), 3), np.uint8)  # sides are padded to 16
        runtime.interpolate(frame, frame)
        if number % 40 == 39:
            print(megabytes())
"""


@every
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ever_new_sizes_do_not_fill_the_memory(item: module.Shipped) -> None:
    """OpenVINO kept kernels of every size, 3 to 7 MB each: a server of pictures of any size ran out of memory."""
    done = subprocess.run([sys.executable, "-c", GROWTH, str(item.folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = map(float, done.stdout.split())
    assert after - before < 60.0  # MB; it was 190 and 260, and what ten sizes take comes and goes


AT_EXIT = """
import atexit, sys, threading, time
import numpy as np

frame = np.zeros((360, 640, 3), np.uint8)
loaded = []

@atexit.register
def last():  # registered before the import, so called after what that registers
    loaded[0].interpolate(frame[:64], frame[:64])
    loaded[0].close()
    print("closed")

import runtimes

def work():
    while True:
        loaded[0].interpolate(frame, frame)
        busy.set()

busy = threading.Event()
loaded.append(runtimes.load(sys.argv[1]))
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
busy.wait()
time.sleep(0.02)
"""


@every
def test_a_daemon_thread_at_work_does_not_abort_the_exit(item: module.Shipped) -> None:
    """It was unwound inside the backend: `terminate called without an active exception`, and a core file."""
    code = [sys.executable, "-c", AT_EXIT, str(item.folder)]
    done = subprocess.run(code, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "closed", "")


# ---- how they are made -------------------------------------------------------------------------------------------


def test_ship_refuses_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    from export.__main__ import main as export

    assert run("python -m export", export, ["ship"]) == 1
    assert "exists: pass --force to replace it" in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``python -m export ship`` makes of this repository."""
    out = tmp_path_factory.mktemp("again")
    run_elsewhere("export", "ship", "--out", str(out))
    return out


@pytest.mark.nightly
@every
def test_the_same_bytes_from_the_checkpoint(item: module.Shipped, again: Path) -> None:
    """On such a processor: PyTorch's answers in the proof are rounded by its instruction sets."""
    made_on = open_artifact(item.folder).manifest.parity_on("cpu").machine
    assert made_on is not None
    if made_on.instruction_sets != instruction_sets():
        pytest.skip(f"they were made on {made_on.processor} ({' '.join(made_on.instruction_sets)})")
    assert_same(FOLDER / item.name, again / item.name)
