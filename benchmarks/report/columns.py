"""The columns of the tables: headings, and how a row's figures are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.report.results_file import Kind

Cell = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading and what stands below it."""

    heading: str
    cell: Cell
    number: bool = True


def _text(key: str) -> Cell:
    return lambda row: str(row.get(key) or "")


def _number(key: str, form: str) -> Cell:
    def cell(row: Mapping[str, Any]) -> str:
        value = row.get(key)
        if value is None:
            return "-"
        return format(value, form) if math.isfinite(value) else "unknown"

    return cell


def _precision(row: Mapping[str, Any]) -> str:
    """The precision, and what really ran where that differs."""
    ran = row.get("arithmetic") or row["precision"]
    return str(row["precision"]) if ran == row["precision"] else f"{row['precision']} (ran {ran})"


def _backend(row: Mapping[str, Any]) -> str:
    return f"{row['backend']} ({row['form']})" if row.get("form") else str(row["backend"])


def _limit(row: Mapping[str, Any]) -> str:
    """The share of the limit, and of which where that is not float32."""
    share = row.get("limit_share")
    if share is None:
        return "-"
    return f"{share:.0%}" + ("" if row["limit"] == "fp32" else f" of {row['limit']}")


COLUMNS = {
    Kind.LATENCY: (
        Column(heading="backend", cell=_backend, number=False),
        Column(heading="precision", cell=_precision, number=False),
        Column(heading="device", cell=_text("device"), number=False),
        Column(heading="median ms", cell=_number("median_ms", ".1f")),
        Column(heading="p90 ms", cell=_number("p90_ms", ".1f")),
        Column(heading="fps", cell=_number("fps", ".2f")),
        Column(heading="x PyTorch", cell=_number("ratio", ".2f")),
        Column(heading="x as published", cell=_number("published_ratio", ".2f")),
        Column(heading="GFLOP/s", cell=_number("gflops", ".0f")),
        Column(heading="of the limit", cell=_limit, number=True),
        Column(heading="noise", cell=_number("noise", ".1%")),
        Column(heading="host ms", cell=_number("host_ms", ".1f")),
        Column(heading="load s", cell=_number("load_s", ".2f")),
        Column(heading="peak MB", cell=_number("peak_mb", ".0f")),
        Column(heading="file MB", cell=_number("artifact_mb", ".1f")),
        Column(heading="PSNR dB", cell=_number("psnr", ".1f")),
        Column(heading="loss dB", cell=_number("psnr_loss", ".3f")),
        Column(heading="parity", cell=_text("verdict"), number=False),
    ),
    Kind.THROUGHPUT: (
        Column(heading="backend", cell=_backend, number=False),
        Column(heading="precision", cell=_precision, number=False),
        Column(heading="device", cell=_text("device"), number=False),
        Column(heading="mode", cell=_text("mode"), number=False),
        Column(heading="fps", cell=_number("fps", ".2f")),
        Column(heading="noise", cell=_number("noise", ".1%")),
        Column(heading="ms a frame in flight", cell=_number("latency_ms", ".1f")),
        Column(heading="x one at a time", cell=_number("gain", ".2f")),
        Column(heading="peak MB", cell=_number("peak_mb", ".0f")),
        Column(heading="parity", cell=_text("verdict"), number=False),
    ),
    Kind.VIDEO: (
        Column(heading="made by", cell=_backend, number=False),
        Column(heading="precision", cell=_precision, number=False),
        Column(heading="device", cell=_text("device"), number=False),
        Column(heading="made fps", cell=_number("fps", ".3g")),
        Column(heading="noise", cell=_number("noise", ".1%")),
        Column(heading="s", cell=_number("seconds", ".1f")),
        Column(heading="s with start", cell=_number("wall_s", ".1f")),
        Column(heading="fps of inference", cell=_number("infer_fps", ".3g")),
        Column(heading="of inference", cell=_number("infer_share", ".1%")),
        Column(heading="frames made", cell=_number("made", "d")),
        Column(heading="PSNR dB", cell=_number("psnr", ".2f")),
        Column(heading="worst dB", cell=_number("psnr_worst", ".2f")),
    ),
}
"""The tables."""
