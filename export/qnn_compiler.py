"""Run as a process of its own: one ONNX file to one context binary in its ONNX wrapper, by ONNX Runtime's QNN plugin.

The compiler prints pages, and ends the process on what it does not like; nothing of this project is imported.
"""

from __future__ import annotations

import argparse
from pathlib import Path

PROVIDER = "QNNExecutionProvider"


def compile_(model: Path, out: Path, *, arch: int, soc: int) -> None:
    """Write ``out``; fails where the NPU does not take the whole graph."""
    import onnxruntime
    import onnxruntime_qnn

    onnxruntime.disable_telemetry_events()
    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # The graph is compiled as it is: ONNX Runtime's own fusions would move Q/DQ.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for key, value in {
        "ep.context_enable": "1",
        "ep.context_file_path": str(out),
        "ep.context_embed_mode": "1",
        "session.disable_cpu_ep_fallback": "1",
    }.items():
        options.add_session_config_entry(key, value)
    options.add_provider_for_devices(
        devices,
        {
            "backend_path": onnxruntime_qnn.get_qnn_htp_path(),
            "htp_arch": str(arch),
            "soc_model": str(soc),
            "htp_graph_finalization_optimization_mode": "1",
            "enable_htp_fp16_precision": "1",
        },
    )
    # From memory: of a file its path would become a part of names in the binary, which would differ each time.
    onnxruntime.InferenceSession(model.read_bytes(), options)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--arch", type=int, required=True)
    parser.add_argument("--soc", type=int, required=True)
    given = parser.parse_args()
    compile_(given.model, given.out, arch=given.arch, soc=given.soc)


if __name__ == "__main__":
    main()
