"""What all tests share: artifacts, each exported once a session, moving frames, and the list of backends that ran.

A backend that is not installed skips its tests with the reason. So that coverage cannot vanish that way,
``IFRNET_EXPECT_BACKENDS`` names those that have to run
(``onnxruntime,openvino,ncnn:cpu,ncnn:vulkan,mnn,litert,executorch,coreml:file,qnn:emulator,tensorrt:build``); a session
of the whole suite that ran others fails.

``IFRNET_TEST_ARTIFACTS`` names an empty folder through which the sessions of one ``make test`` share what they export.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtimes.contract import Precision, Size, SizeRange
from runtimes.registry import backend
from runtimes.staged_folder import staged_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtimes.base import Runtime

EXPECTED = "IFRNET_EXPECT_BACKENDS"

SHARED = "IFRNET_TEST_ARTIFACTS"

RAN = pytest.StashKey[set[str]]()

CACHE = os.environ.get("IFRNET_CACHE")
"""Where the user keeps what can be made again, environments of converters too. Tests of verdicts name another one."""

DYNAMIC = SizeRange(minimum=Size(32, 32), typical=Size(160, 96), maximum=Size(400, 300))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RAN] = set()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    expected = os.environ.get(EXPECTED)
    if expected is not None and set(filter(None, expected.split(","))) != session.config.stash[RAN]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    ran, expected = config.stash[RAN], os.environ.get(EXPECTED)
    terminalreporter.write_line(f"backends that ran: {','.join(sorted(ran)) or 'none'}")
    if expected is not None and (wanted := set(filter(None, expected.split(",")))) != ran:
        missing, extra = ",".join(sorted(wanted - ran)), ",".join(sorted(ran - wanted))
        terminalreporter.write_line(
            f"{EXPECTED}: did not run: {missing or 'none'}; not expected: {extra or 'none'}", red=True
        )


@pytest.fixture(scope="session", autouse=True)
def two_torch_threads() -> None:
    """The machines that run this have two cores, and other work."""
    import torch

    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def ran(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Record that a backend really computed (or, for ``tensorrt:build``, built) something that was checked."""
    return request.config.stash[RAN].add


@dataclass(frozen=True)
class Artifacts:
    """Artifacts on demand, each exported once a session; ``artifact(target)`` gives the folder.

    The default model is random weights that move and serve any t; ``model="ifrnet_s"`` is the built-in checkpoint.
    Treat the folders as read-only: copy one to change it.

    Args:
        out: where this session keeps them.
        shared: where other sessions find copies of them, and this one finds theirs. What it holds has to be of the same
            sources, packages and machine: nothing but the arguments of the call tells two artifacts apart.
    """

    out: Path
    shared: Path | None = None
    made: dict[object, Path] = field(default_factory=dict)

    def __call__(
        self,
        target: str,
        *,
        model: str = "random:ifrnet_s",
        size: str = "160x96",
        precision: Precision = Precision.FP32,
        dynamic: bool = False,
        scale: float = 1.0,
        verify_devices: tuple[str, ...] = (),
    ) -> Path:
        """The folder of an artifact.

        Args:
            target: name in ``export.targets.TARGETS``; the test is skipped with the reason if it cannot be built here.
            size: of a static artifact. A dynamic one is for 32x32 to 400x300.
            verify_devices: software devices that the parity gate shall run on as well.
        """
        with pytest.MonkeyPatch.context() as patch:
            if CACHE is None:
                patch.delenv("IFRNET_CACHE", raising=False)
            else:
                patch.setenv("IFRNET_CACHE", CACHE)
            return self._made(target, model, size, precision, dynamic, scale, verify_devices)

    def _made(
        self,
        target: str,
        model: str,
        size: str,
        precision: Precision,
        dynamic: bool,
        scale: float,
        verify_devices: tuple[str, ...],
    ) -> Path:
        from export.options import ExportOptions
        from export.pipeline import Pipeline
        from export.targets import target as module_of

        if reason := module_of(target).missing():
            pytest.skip(f"target {target}: {reason}")
        sizes = DYNAMIC if dynamic else SizeRange.static(Size.parse(size))
        key = (target, model, sizes, precision, scale, verify_devices)
        if key not in self.made:
            options = ExportOptions(
                targets=(target,),
                precisions=(precision,),
                model=model,
                sizes=sizes,
                scale=scale,
                out=self.out / f"{len(self.made)}",
                verify_devices=verify_devices,
            )
            theirs = self._theirs(model, key)
            if theirs is not None and theirs.is_dir():
                shutil.copytree(theirs, options.out)
                (self.made[key],) = options.out.iterdir()
            else:
                pipeline = Pipeline(options, lambda line: None)
                (job,) = pipeline.jobs()
                self.made[key] = pipeline.build(job).path
                if theirs is not None:
                    with staged_folder(theirs, force=False) as folder:
                        shutil.copytree(options.out, folder, dirs_exist_ok=True)
        return self.made[key]

    def _theirs(self, model: str, key: tuple[object, ...]) -> Path | None:
        """Where the sessions share an artifact; a checkpoint file, which each writes for itself, is not shared."""
        if self.shared is None or Path(model).is_file():
            return None
        return self.shared / hashlib.sha256(repr(key).encode()).hexdigest()[:16]


@pytest.fixture(scope="session")
def middle_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``middle.safetensors``: random weights of ifrnet_s whose provenance narrows them to t = 0.5."""
    from safetensors.torch import save_file

    from ifrnet import random_model

    path = tmp_path_factory.mktemp("checkpoint") / "middle.safetensors"
    save_file(dict(random_model("ifrnet_s").state_dict()), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps({"timesteps": [0.5], "sha256": sha256}))
    return path


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """Factory of small artifacts: ``artifact("onnx")``, ``artifact("openvino", dynamic=True)``, ..."""
    shared = os.environ.get(SHARED)
    return Artifacts(tmp_path_factory.mktemp("artifacts"), Path(shared) if shared else None)


@pytest.fixture(scope="session")
def open_runtime(artifact: Artifacts) -> Iterator[Callable[..., Runtime]]:
    """Factory of loaded artifacts with one thread, shared by the session: do not close them."""
    from runtimes import load

    loaded: dict[tuple[str, str | None], Runtime] = {}

    def open_one(target: str, device: str | None = None) -> Runtime:
        if (target, device) not in loaded:
            loaded[target, device] = load(artifact(target), device=device, threads=1)
        return loaded[target, device]

    yield open_one
    for runtime in loaded.values():
        runtime.close()


@pytest.fixture(scope="session")
def require_device() -> Callable[[str, str], None]:
    """Skip with the reason when a backend or one of its devices is missing here."""

    def require(name: str, device: str) -> None:
        module = backend(name)
        reason = module.missing()
        if not reason:
            reason = {item.name: item.reason for item in module.devices()}.get(device, "no such device")
        if reason:
            pytest.skip(f"{name} on {device}: {reason}")

    return require


@pytest.fixture(scope="session")
def frames() -> Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Factory of moving pairs: ``frames("160x96")`` gives uint8 (H, W, 3) RGB twice."""
    import numpy as np

    from export.parity_frames import moving_pair
    from runtimes.frames import to_frame

    def make(size: str = "160x96", seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        img0, img1 = (to_frame(x, np.dtype(np.uint8)) for x in moving_pair(Size.parse(size), seed=seed))
        return img0, img1

    return make
