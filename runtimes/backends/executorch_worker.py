"""Run as a process of its own: one ``.pte`` file, which computes what it is told through pipes.

ExecuTorch's Python package imports PyTorch, which has no place in the process that uses :mod:`runtimes`; nothing of
this project is imported here. The protocol is in :mod:`runtimes.backends.executorch`.
"""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import sys
import warnings
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np


def main() -> None:
    """Load, answer one question after the other, end with the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the user's Ctrl-C is for the process that started this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    questions = sys.stdin.buffer
    size, threads = struct.unpack("<QI", read(questions, 12))
    try:
        method, about = load(bytes(read(questions, size)), threads)
    except Exception as error:  # ExecuTorch's errors share no base
        answer(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    answer(answers, about)
    shapes: list[list[int]] = about["inputs"]
    torch = sys.modules["torch"]  # which ExecuTorch has imported: its inputs are PyTorch's tensors
    while True:
        try:
            arrays = [np.frombuffer(read(questions, 4 * math.prod(s)), np.float32).reshape(s) for s in shapes]
        except EOFError:
            return
        try:
            (output,) = method.call([torch.from_numpy(array) for array in arrays], clone_outputs=False)
            array = np.ascontiguousarray(output.numpy())
        except Exception as error:
            answer(answers, {"error": f"{type(error).__name__}: {error}"})
            continue
        answer(answers, {"shape": array.shape, "type": str(array.dtype)})
        answers.write(array.data.cast("B"))
        answers.flush()


def load(model: bytes, threads: int) -> tuple[Loaded, dict[str, Any]]:
    """The method, and what it says of itself."""
    warnings.simplefilter("ignore")  # that its interface is experimental; that tensors must not be written to
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(threads)
    checked = portable_lib.Verification.InternalConsistency
    program = portable_lib._load_program_from_buffer(model, program_verification=checked)
    method = program.load_method("forward")
    meta = method.method_meta()
    inputs = [list(meta.input_tensor_meta(i).sizes()) for i in range(meta.num_inputs())]
    return Loaded(method, program, model), {"inputs": inputs, "threads": portable_lib._threadpool_get_thread_count()}


class Loaded:
    """A method with what it stands on: ExecuTorch copies neither the program nor its bytes."""

    def __init__(self, method: Any, program: Any, model: bytes) -> None:
        self._kept = program, model
        self.call = method.call


def read(pipe: BinaryIO, count: int) -> bytearray:
    """Exactly so many bytes. Raises EOFError where the pipe ends before."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = pipe.readinto(view)  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        view = view[got:]
    return data


def answer(pipe: BinaryIO, fields: Mapping[str, Any]) -> None:
    """One line of JSON."""
    pipe.write(json.dumps(fields).encode() + b"\n")
    pipe.flush()


if __name__ == "__main__":
    main()
