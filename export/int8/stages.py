"""INT8 in the order of the stages: the scales of the model, what a target built, the quality gate at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from export.declarations import Compiled
from export.errors import SentinelError
from export.int8.gate import QualityGate
from export.int8.scales import Scales, scales_for
from export.int8.simulation import Simulation
from export.int8.work import share
from export.options import ExportOptions
from ifrnet import IFRNet
from runtimes.artifact import Artifact, DeviceParity
from runtimes.contract import Verdict
from runtimes.registry import runner
from runtimes.tuning import Tuning

MIN_SHARE = 0.85
"""The least share of the network's multiply-adds that an INT8 artifact runs in int8; less only where its scales name
fewer layers."""


class Int8:
    """What INT8 artifacts of one run share.

    Args:
        model: the reference.
        options: of the run.
    """

    def __init__(self, model: IFRNet, options: ExportOptions) -> None:
        self._model, self._calibration = model, options.calibration
        self._gate = QualityGate(model, options.scale, options.max_drop)
        self._variant = model.variant

    @cached_property
    def _scales(self) -> Scales:
        assert self._model.info is not None
        return scales_for(self._model.info, self._calibration)

    @property
    def scales(self) -> Mapping[str, float]:
        """Layer -> scale of its input, the float value of one int8 step.

        Raises:
            CalibrationError: the model has no scales, or those given are of other weights.
        """
        return self._scales.scales

    def judge(
        self, artifact: Artifact, parity: Sequence[DeviceParity], simulation: bytes = b""
    ) -> tuple[tuple[DeviceParity, ...], dict[str, Any]]:
        """Run the quality gate wherever parity passed, or once on the graph that stands for all devices.

        Args:
            artifact: the files.
            parity: the verdicts so far.
            simulation: see :class:`export.declarations.Compiled`.

        Returns:
            The records, failed where INT8 loses more than it may, and what was measured on each device.
        """
        if simulation:
            return self._judge_simulation(artifact, parity, simulation)
        records, found = [], {}
        for record in parity:
            if record.verdict is Verdict.PASSED:
                with runner(artifact.manifest.backend, record.device).open_runtime(
                    artifact, record.device, Tuning()
                ) as runtime:
                    quality = self._gate.judge(runtime)
                found[record.device] = quality.to_manifest()
                verdict = Verdict.PASSED if quality.passed else Verdict.FAILED
                record = replace(record, verdict=verdict, reason=str(quality))
            records.append(record)
        return tuple(records), found

    def _judge_simulation(
        self, artifact: Artifact, parity: Sequence[DeviceParity], simulation: bytes
    ) -> tuple[tuple[DeviceParity, ...], dict[str, Any]]:
        with Simulation(artifact.manifest, simulation) as runtime:
            quality = self._gate.judge(runtime)
        about = f"{quality} (simulated: the graph that was compiled, computed by ONNX Runtime on the CPU)"
        records = []
        for record in parity:
            verdict = record.verdict if quality.passed else Verdict.FAILED
            records.append(replace(record, verdict=verdict, reason="; ".join(filter(None, (record.reason, about)))))
        return tuple(records), {"simulation": quality.to_manifest()}

    def check_built(self, target: str, compiled: Compiled) -> Compiled:
        """Add to what a target tells: the calibration, and the share of the work that it read back in int8.

        Raises:
            SentinelError: too much of the work runs in float.
        """
        details = {**compiled.details, "calibration": dict(self._scales.provenance)}
        planned = share(self._variant, self.scales)
        details["int8_share_of_recipe"] = round(planned, 4)
        if "int8_layers" in details:
            built = share(self._variant, details["int8_layers"])
            details["int8_share"] = round(built, 4)
            if built < min(MIN_SHARE, 0.9 * planned):
                left = sorted(set(self.scales) - set(details["int8_layers"]))
                raise SentinelError(
                    f"sentinel int8-share: {target} runs {built:.1%} of the network's multiply-adds in int8, the "
                    f"recipe has {planned:.1%}; it left {', '.join(left[:3])} and {max(0, len(left) - 3)} more in float"
                )
        return replace(compiled, details=details)
