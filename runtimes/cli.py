"""What the command lines share: exit codes, one-line errors, and nothing heavy before the arguments are parsed.

Exit codes: 0 fine, 1 the user's error, 2 parity or a quality gate failed, 3 a bug, 130 interrupted.
"""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from runtimes.contract import Size
from runtimes.errors import RuntimesWarning, UsageError
from runtimes.printable import one_line

BUG, INTERRUPTED = 3, 130

EXTRAS = {
    "torch": "export",
    "safetensors": "export",
    "onnx": "export",
    "onnxscript": "export",
    "onnxsim": "export",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "MNN": "mnn",
    "ai_edge_litert": "litert",
    "executorch": "executorch",
    "pnnx": "export",
    "coremltools": "coreml",
    "av": "video",
    "ray": "ray",
    "cv2": "calibrate",
    "matplotlib": "bench",
}
"""Package -> the extra that brings it, for whoever installed less than a command needs."""


_SHORT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""How PyTorch says it, in a RuntimeError."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit code 1, since 2 says that parity failed."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")


class Once(argparse.Action):
    """Stores a value, and refuses the option a second time, of which argparse takes the last without a word.

    ``parser.register("action", None, Once)`` makes it what every option of a parser does that names no other action.
    """

    _filled: argparse.Namespace | None = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if self._filled is namespace:
            parser.error(f"argument {option_string}: given twice, and one counts: run the command once for each")
        self._filled = namespace
        setattr(namespace, self.dest, values)


def frame_size(text: str) -> Size:
    """A frame size, for argparse."""
    try:
        return Size.parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(program: str, main: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None = None) -> int:
    """Call ``main`` and turn what it raises into an exit code and one line on standard error.

    Exceptions that carry an integer ``exit_code`` are the user's to repair; so are the operating system's. Anything
    else is a bug, and is printed with its traceback and the versions that a report needs.
    """
    if (sys.argv[1:] if arguments is None else list(arguments)) == ["--version"]:
        print(f"{program}: {versions()}")
        return 0
    with _interrupts() as interrupts:
        try:
            with _warnings_in_one_line():
                return main(arguments)
        except (KeyboardInterrupt, Exception) as error:
            if interrupts or isinstance(error, KeyboardInterrupt):
                print(f"{program}: interrupted", file=sys.stderr)
                return INTERRUPTED
            return _tell(program, error)


def _tell(program: str, error: Exception) -> int:
    """Print what was raised; returns the exit code."""
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()  # the reader of our output is gone; there is nobody to tell
        return 1
    if isinstance(error, OSError):
        print(f"{program}: {one_line(error)}", file=sys.stderr)
        return 1
    if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get((error.name or "").partition(".")[0])):
        print(f"{program}: {error.name} is not installed: pip install 'ifrnet-export[{extra}]'", file=sys.stderr)
        return 1
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        print(f"{program}: {one_line(error)}", file=sys.stderr)
        return code
    said = str(error) if isinstance(error, RuntimeError) else ""
    if isinstance(error, MemoryError) or any(words in said for words in _SHORT_OF_MEMORY):
        print(f"{program}: there is not enough memory: smaller frames need less", file=sys.stderr)
        return 1
    traceback.print_exception(error)
    print(f"{program}: this is a bug, please report it with the lines above; {versions()}", file=sys.stderr)
    return BUG


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Every Ctrl-C of the block: a library that one meets while it is imported may raise anything."""
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # an app's own
        yield seen
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show our own warnings once each, without the line of code that they come from."""
    shown = warnings.showwarning
    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if not issubclass(category, RuntimesWarning):
            shown(message, category, *rest)
        elif (text := f"warning: {one_line(message)}") not in told:
            told.add(text)
            print(text, file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]  # its last parameters pass through *rest
        yield


def versions() -> str:
    """Python and platform, and every package of the toolchain that is installed."""
    from runtimes.environment import package_versions

    found = ", ".join(f"{name} {version}" for name, version in package_versions().items())
    return f"Python {platform.python_version()} on {platform.platform()}, {found}"
