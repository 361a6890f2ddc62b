"""The ``.ort`` file of ONNX Runtime Mobile and Web: made from the ONNX, read back, and written the same each time.

It is a flatbuffer: the version of the format, the graph as ONNX Runtime has optimised it, and a table that tells which
types the operators are registered for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from export.errors import ExportError, SentinelError, run_sentinels
from export.sentinels import WARPS
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME
from runtimes.printable import MAX_REASON, one_line

NAME = "model.ort"

IDENTIFIER = b"ORTM"
"""Bytes 4 to 8 of every such file."""

LEVEL = "extended"
"""``ORT_ENABLE_ALL`` would also lay out the weights for the instruction set of the machine that exports."""

LAYOUTS = frozenset({"com.microsoft.nchwc", "com.ms.internal.nhwc"})
"""Domains of operators that exist for one kind of processor alone."""

WARP = MappingProxyType({"mode": "bilinear", "padding_mode": "border", "align_corners": 1})


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator of the file, with its text and integer attributes."""

    name: str
    domain: str
    kind: str
    attributes: Mapping[str, str | int]


@dataclass(frozen=True, kw_only=True)
class File:
    """What is read back.

    Attributes:
        version: of the file format.
        nodes: operators in no particular order.
        names: of the inputs, then of the outputs.
    """

    version: str
    nodes: tuple[Node, ...]
    names: tuple[tuple[str, ...], tuple[str, ...]]


def write_ort(model: bytes, folder: Path) -> dict[str, Any]:
    """Write ``model.ort`` into ``folder`` and read it back; returns what was found, for the manifest.

    Args:
        model: an ONNX file.

    Raises:
        ExportError: ONNX Runtime cannot optimise it.
        SentinelError: the file is not what was asked for.
    """
    import onnxruntime

    path = folder / NAME
    optimise(model, path)
    data = ordered(path.read_bytes())
    details = check_file(read_file(data))
    path.write_bytes(data)
    return {"ort": {"optimization": LEVEL, "onnxruntime": onnxruntime.__version__, **details}}


def optimise(model: bytes, path: Path, level: str = LEVEL) -> None:
    """Let ONNX Runtime optimise a model and save it. Raises ExportError when it cannot."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level.upper()}")
    options.add_session_config_entry("session.save_model_format", "ORT")
    # Without it int8 activations become uint8, which x86 wants and ARM does not.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.optimized_model_filepath = str(path)
    try:
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises classes of its own that share no base
        raise ExportError(f"ONNX Runtime cannot save {NAME}: {one_line(error, MAX_REASON)}") from error


def read_file(data: bytes) -> File:
    """What stands in a ``.ort`` file.

    Raises:
        SentinelError: it is none.
    """
    if data[4:8] != IDENTIFIER:
        raise SentinelError(f"sentinel ort-identifier: the file has {data[4:8]!r}, not {IDENTIFIER!r}")
    session = _session(data)
    graph = session.Model().Graph()
    inputs, outputs = (tuple(map(_text, _items(graph, which))) for which in ("Inputs", "Outputs"))
    nodes = tuple(map(_node, _items(graph, "Nodes")))
    return File(version=_text(session.OrtVersion()), nodes=nodes, names=(inputs, outputs))


def _session(data: bytes) -> Any:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    return InferenceSession.GetRootAs(data, 0)


def _items(table: Any, which: str) -> Iterator[Any]:
    """Those of one list of a table."""
    return (getattr(table, which)(i) for i in range(getattr(table, f"{which}Length")()))


def _text(value: bytes | None) -> str:
    return (value or b"").decode()


def _node(node: Any) -> Node:
    attributes: dict[str, str | int] = {}
    for found in _items(node, "Attributes"):
        attributes[_text(found.Name())] = _text(found.S()) or int(found.I())
    name, domain, kind = (_text(value) for value in (node.Name(), node.Domain(), node.OpType()))
    return Node(name=name, domain=domain, kind=kind, attributes=attributes)


def ort_warps(file: File) -> str:
    """Every warp is there, bilinear, with border padding and align_corners."""
    warps = [node for node in file.nodes if node.kind == "GridSample"]
    expected = (WARPS, WARPS // 2)
    if len(warps) not in expected:
        return f"the file has {len(warps)} warps, not {WARPS} (or {WARPS // 2} of pairs)"
    for node in warps:
        if dict(node.attributes) != dict(WARP):
            return f"warp {node.name} samples with {dict(node.attributes)}, not {dict(WARP)}"
    return ""


def ort_layout(file: File) -> str:
    """No operator is for the processor of this machine alone."""
    found = Counter(f"{node.domain}.{node.kind}" for node in file.nodes if node.domain in LAYOUTS)
    return f"the file is laid out for this machine: it has {dict(found)}" if found else ""


def ort_names(file: File) -> str:
    """Inputs and outputs are those of the contract."""
    expected = (INPUT_NAMES, (OUTPUT_NAME,))
    return "" if file.names == expected else f"inputs and outputs are {file.names}, not {expected}"


SENTINELS: MappingProxyType[str, Callable[[File], str]] = MappingProxyType(
    {"ort-warps": ort_warps, "ort-layout": ort_layout, "ort-names": ort_names}
)
"""Each returns what is wrong, or an empty string."""


def check_file(file: File) -> dict[str, Any]:
    """Run every sentinel; returns what was found, for the manifest.

    Raises:
        SentinelError: one of them fired.
    """
    run_sentinels(SENTINELS, file)
    kinds = Counter(f"{node.domain}.{node.kind}".removeprefix(".") for node in file.nodes)
    return {"format": file.version, "warps": dict(WARP), "operators": dict(sorted(kinds.items()))}


# ---- the same bytes each time ------------------------------------------------------------------------------------


def ordered(data: bytes) -> bytes:
    """The same file with its table of operator types in order.

    ONNX Runtime (1.31) writes the table in the order of a hash map that differs from run to run. It stands in front of
    the graph, which is kept as it is: flatbuffers point forward by distances.
    """
    import flatbuffers
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import InferenceSession

    session = _session(data)
    start = _first_byte(session.Model())
    builder = flatbuffers.Builder(4096)
    version = builder.CreateString(_text(session.OrtVersion()))
    table = _type_table(builder, session.KernelTypeStrResolver())
    InferenceSession.Start(builder)
    InferenceSession.AddOrtVersion(builder, version)
    builder.PrependUint32Slot(1, 1, 0)  # the graph, which is no part of this buffer: the distance comes below
    InferenceSession.AddKernelTypeStrResolver(builder, table)
    builder.Finish(InferenceSession.End(builder), IDENTIFIER)
    front = bytearray(builder.Output())
    gap = (start - len(front)) % ALIGNMENT
    slot = _field(_session(bytes(front)), 1)
    distance = len(front) + gap + session.Model()._tab.Pos - start - slot
    front[slot : slot + 4] = distance.to_bytes(4, "little")
    return bytes(front) + bytes(gap) + data[start:]


ALIGNMENT = 8
"""Bytes to which the largest values of the format are aligned within the file."""


def _first_byte(table: Any) -> int:
    """Where a table begins that was written last of its part; its list of fields may stand in front of it."""
    position = table._tab.Pos
    fields = position - int.from_bytes(table._tab.Bytes[position : position + 4], "little", signed=True)
    return int(min(position, fields))


def _field(table: Any, number: int) -> int:
    """Where a field of a table is."""
    return int(table._tab.Pos + table._tab.Offset(4 + 2 * number))


def _type_table(builder: Any, resolver: Any) -> int:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import (
        ArgTypeAndIndex,
        KernelTypeStrArgsEntry,
        KernelTypeStrResolver,
        OpIdKernelTypeStrArgsEntry,
    )

    def argument(found: Any) -> int:
        ArgTypeAndIndex.Start(builder)
        ArgTypeAndIndex.AddArgType(builder, found.ArgType())
        ArgTypeAndIndex.AddIndex(builder, found.Index())
        return int(ArgTypeAndIndex.End(builder))

    def types(found: Any) -> int:
        name = builder.CreateString(found.KernelTypeStr())
        arguments = _vector(builder, [argument(item) for item in _items(found, "Args")])
        KernelTypeStrArgsEntry.Start(builder)
        KernelTypeStrArgsEntry.AddKernelTypeStr(builder, name)
        KernelTypeStrArgsEntry.AddArgs(builder, arguments)
        return int(KernelTypeStrArgsEntry.End(builder))

    def operator(found: Any) -> int:
        name = builder.CreateString(found.OpId())
        entries = sorted(_items(found, "KernelTypeStrArgs"), key=lambda item: item.KernelTypeStr())
        listed = _vector(builder, [types(item) for item in entries])
        OpIdKernelTypeStrArgsEntry.Start(builder)
        OpIdKernelTypeStrArgsEntry.AddOpId(builder, name)
        OpIdKernelTypeStrArgsEntry.AddKernelTypeStrArgs(builder, listed)
        return int(OpIdKernelTypeStrArgsEntry.End(builder))

    operators = sorted(_items(resolver, "OpKernelTypeStrArgs"), key=lambda item: item.OpId())
    listed = _vector(builder, [operator(item) for item in operators])
    KernelTypeStrResolver.Start(builder)
    KernelTypeStrResolver.AddOpKernelTypeStrArgs(builder, listed)
    return int(KernelTypeStrResolver.End(builder))


def _vector(builder: Any, offsets: Iterable[int]) -> int:
    offsets = list(offsets)
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
