"""What a file is that was given as a checkpoint and is none."""

from __future__ import annotations

DOWNLOAD = "download the file itself again"

_TEXTS = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer: run git lfs pull, or " + DOWNLOAD),
    (b"/annex/objects/", "a git-annex pointer: run git annex get, or " + DOWNLOAD),
    (b"<!doctype html", "an HTML page, such as a log-in page or a site's error page: " + DOWNLOAD),
    (b"<html", "an HTML page, such as a log-in page or a site's error page: " + DOWNLOAD),
    (b"<?xml", "an XML text, such as a server's error message: " + DOWNLOAD),
    (b"<error", "an XML text, such as a server's error message: " + DOWNLOAD),
    (b'{"', "a JSON text, such as a server's error message: " + DOWNLOAD),
)
"""Beginning in lower case, without the white space before it -> what the file is and what to do."""

_UNPACK = ": unpack it and give the checkpoint inside"

_BINARIES = (
    (0, b"\x1f\x8b", "a gzip file" + _UNPACK),
    (0, b"BZh", "a bzip2 file" + _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz file" + _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file" + _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive" + _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive" + _UNPACK),
    (257, b"ustar", "a tar archive" + _UNPACK),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file; expected PyTorch weights"),
    (0, b"\x93NUMPY", "an array of NumPy; expected PyTorch weights"),
    (0, b"GGUF", "a GGUF file; expected PyTorch weights"),
    (4, b"TFL3", "a TensorFlow Lite model; expected PyTorch weights"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"%PDF", "a PDF document"),
    (4, b"ftyp", "an MP4 video"),
)
"""Offset and bytes there -> what the file is and what to do."""

_SHOWN = 40
"""Characters of a text that a message repeats."""


def known_kind(data: bytes) -> str | None:
    """What a file is by the way it begins, with what to do; None where that is not known."""
    for offset, magic, kind in _BINARIES:
        if data[offset : offset + len(magic)] == magic:
            return kind
    begin = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((kind for magic, kind in _TEXTS if begin.startswith(magic)), None)


def kind_of(data: bytes) -> str | None:
    """Like :func:`known_kind`, and any other text by its first words."""
    if kind := known_kind(data):
        return kind
    if data.count(0) == len(data):
        return "a file of zero bytes only, such as a download that was broken off: " + DOWNLOAD
    if is_safetensors(data):
        return "a safetensors file: let its name end in .safetensors"
    begin = data[:256]
    if len(begin) >= 8 and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in begin):
        return f"a text that begins with {begin[:_SHOWN].decode('ascii')!r}: {DOWNLOAD}"
    return None


def is_safetensors(data: bytes) -> bool:
    """Whether a file begins as safetensors do: the length of a header, then the header, a JSON object."""
    return data[8:9] == b"{" and 2 <= int.from_bytes(data[:8], "little") <= len(data) - 8
