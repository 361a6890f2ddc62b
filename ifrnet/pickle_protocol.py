"""Pickles of protocols 3 to 5 rewritten in protocol 2, the only one that PyTorch's safe reader understands.

The instructions are read as data and written again one by one; nothing in them is carried out.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from typing import Any

SAFE_PROTOCOL = 2

MAX_PICKLE_BYTES = 2**20
"""Fifteen times the pickle of IFRNet with an average and its optimiser; the tensors lie outside of it.

Reading takes seconds for a megabyte of small instructions.
"""

_STRINGS = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"})
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})

_REWRITTEN = {
    "PROTO": pickle.PROTO + bytes([SAFE_PROTOCOL]),
    "EMPTY_SET": pickle.EMPTY_LIST,
    "ADDITEMS": pickle.APPENDS,
    "FROZENSET": pickle.TUPLE,
}
"""Sets become lists and tuples: no weights are in them, and protocol 2 would have to call something to make a set."""


def protocol_of(data: bytes) -> int:
    """The protocol that a pickle announces; 0 where it announces none."""
    return data[1] if data[:1] == pickle.PROTO and len(data) > 1 else 0


def to_protocol_2(stream: io.BytesIO) -> bytes:
    """The next pickle of a stream, in protocol 2.

    Raises:
        ValueError: no whole pickle, too large, or an instruction that protocol 2 cannot express.
    """
    data, start = stream.getbuffer(), stream.tell()
    converter = _Converter()
    for opcode, argument, position in pickletools.genops(stream):
        converter.add(opcode.name, argument, bytes(data[position : stream.tell()]))
        if stream.tell() - start > MAX_PICKLE_BYTES or len(converter.written) > MAX_PICKLE_BYTES:
            raise ValueError(f"a pickle of more than {MAX_PICKLE_BYTES} bytes")
    return bytes(converter.written)


class _Converter:
    """Writes instructions. Strings wait until it is known whether a STACK_GLOBAL takes them for a name."""

    def __init__(self) -> None:
        self.written = bytearray()
        self._waiting: list[str] = []
        self._memo: set[int] = set()
        self._strings: dict[int, str] = {}  # memo entries that are strings are written again wherever they are read

    def add(self, name: str, argument: Any, raw: bytes) -> None:
        """Take one instruction with its argument; ``raw`` is how the file has it."""
        if name in _STRINGS:
            self._waiting.append(argument)
        elif name in _GETS and int(argument) in self._strings:
            self._waiting.append(self._strings[int(argument)])
        elif name in _PUTS:
            self._put(len(self._memo) if argument is None else int(argument))
        elif name == "STACK_GLOBAL":
            self._global()
        elif name != "FRAME":  # of the file, not of the content: may lie anywhere
            self._write_waiting()
            if name in _BYTES:
                self._write_bytes(bytes(argument))
            else:
                self.written += _REWRITTEN.get(name, raw)
        if len(self._waiting) > 2:
            self._write_string(self._waiting.pop(0))

    def _put(self, index: int) -> None:
        self._memo.add(index)
        if self._waiting:
            self._strings[index] = self._waiting[-1]
        else:
            self._strings.pop(index, None)
            self.written += pickle.LONG_BINPUT + struct.pack("<I", index)

    def _global(self) -> None:
        if len(self._waiting) != 2 or any("\n" in part for part in self._waiting):
            raise ValueError("a name that is not two strings")
        self.written += pickle.GLOBAL + "\n".join([*self._waiting, ""]).encode()
        self._waiting.clear()

    def _write_waiting(self) -> None:
        for text in self._waiting:
            self._write_string(text)
        self._waiting.clear()

    def _write_string(self, text: str) -> None:
        encoded = text.encode("utf-8", "surrogatepass")
        self.written += pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded

    def _write_bytes(self, value: bytes) -> None:
        """As protocol 2 does it: a call of ``_codecs.encode``, which the safe reader knows."""
        self.written += pickle.GLOBAL + b"_codecs\nencode\n"
        self._write_string(value.decode("latin1"))
        self._write_string("latin1")
        self.written += pickle.TUPLE2 + pickle.REDUCE
