"""The program on ARM64, under qemu: proofs with half arithmetic (``max``) and without it (``cortex-a53``)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from export.declarations import FP16_TOLERANCE
from runtimes.artifact import open_artifact
from runtimes.contract import Precision
from runtimes.verdicts import records_of
from tests.conftest import Artifacts

QEMU = "qemu-aarch64-static"

ROWS = [
    (Precision.FP32, "max", "fp32"),
    (Precision.FP16, "max", "fp16 storage"),
    (Precision.BF16, "max", "bf16"),
    (Precision.INT8, "max", "int8"),
    (Precision.FP32, "cortex-a53", "fp32"),
    (Precision.FP16, "cortex-a53", "fp32"),
    (Precision.BF16, "cortex-a53", "bf16"),
]
"""Precision, processor, and the arithmetic that the verdict has to name there."""

MARGIN = 6.0
"""dB that half arithmetic has to spare over the limit of its precision."""


@pytest.mark.parametrize(("precision", "processor", "arithmetic"), ROWS)
def test_an_artifact_is_proved_on_arm64(
    precision: Precision,
    processor: str,
    arithmetic: str,
    arm64_program: Path,
    artifact: Artifacts,
    tmp_path: Path,
    ran: Callable[[str], None],
) -> None:
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not here: apt install qemu-user-static")
    size = (
        "160x96" if precision is Precision.INT8 else "96x64"
    )  # int8 loses more than its gate allows on smaller frames
    made = artifact("ncnn", model="ifrnet_s", precision=precision, size=size)
    folder = Path(shutil.copytree(made, tmp_path / "artifact"))
    command: list[str | Path] = [QEMU, "-cpu", processor, arm64_program, "verify", folder, "--threads", "2"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = records_of(open_artifact(folder))
    assert record.conditions.arithmetic == arithmetic
    assert record.conditions.machine.instruction_sets[0] == "aarch64"
    assert record.conditions.device == "native/cpu"
    if precision is Precision.FP16:
        assert min(result.psnr for result in record.results) >= FP16_TOLERANCE.psnr + MARGIN
    ran("native:arm64")
