"""Results for people: a table on the console, a Markdown file, and a plot beside the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report.columns import COLUMNS
from benchmarks.report.environment import BUSY
from benchmarks.report.results_file import Kind, Results, write_text

if TYPE_CHECKING:
    from rich.console import Console

TABLE_WIDTH = 230
"""Characters that the widest table needs."""

MEASURED = {Kind.LATENCY: "median_ms", Kind.THROUGHPUT: "fps", Kind.VIDEO: "fps"}
"""What a row has when it was measured."""


def measured_rows(results: Results) -> list[Mapping[str, Any]]:
    """Rows with figures, the fastest first."""
    key = MEASURED[results.kind]
    rows = [row for row in results.rows if row[key] is not None]
    return sorted(rows, key=lambda row: row[key], reverse=results.kind is not Kind.LATENCY)


def unmeasured_lines(results: Results) -> list[str]:
    """Why the rest has none, one line a row; devices with the same reason in all precisions share one."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in results.rows:
        if row[MEASURED[results.kind]] is None:
            key = (str(row["backend"]), str(row["device"]), str(row.get("mode") or ""), str(row.get("reason", "")))
            lines.setdefault(key, []).append(str(row["precision"]))
    return [
        " ".join(filter(None, (backend, "/".join(precisions), device, mode))) + f" not measured: {reason}"
        for (backend, device, mode, reason), precisions in lines.items()
    ]


def notes(results: Results) -> list[str]:
    """What a reader has to know to trust the table, one line each."""
    settings, summary, machine = results.settings, results.summary, results.environment
    lines = [
        (
            f"{settings['model']} at {settings['size']}, CPU threads: {settings['threads']}, {settings['schedule']}; "
            f"rounds: {settings['rounds']}, rows in turn, each in a process of its own."
        )
    ]
    lines += _NOTES[results.kind](results)
    if (load := machine.get("load")) is not None and load > BUSY:
        lines.append(f"The machine was busy (load average {load} at the start): absolute times are too high.")
    for row in results.rows:
        if row.get("verdict") == "failed":
            lines.append(f"{row['backend']} {row['precision']} {row['device']} FAILED PARITY: {row.get('reason')}")
    if summary.get("winner"):
        lines.append(f"Fastest with proven output: {summary['winner']}.")
    lines += [f"Not counted there: {line}." for line in summary.get("left_out_of_the_winner", ())]
    return lines


def verified_lines(results: Results) -> list[str]:
    """What verifying showed before anything was measured, a line for each artifact and device."""
    lines = []
    for found in results.summary.get("verified", ()):
        psnr, error = found["psnr"], found["max_error"]
        figures = "" if error is None else f", largest error {error:.2g}"
        figures += "" if psnr is None else f", PSNR {psnr:.1f} dB"
        ran = f" (ran {found['arithmetic']})" if found["arithmetic"] else ""
        reason = f": {found['reason']}" if found["reason"] else ""
        lines.append(
            f"Verified in {found['seconds']:.1f} s: {found['artifact']} on {found['device']}{ran} "
            f"{found['verdict']}{figures}{reason}"
        )
    return lines


def _latency_notes(results: Results) -> list[str]:
    summary = results.summary
    baseline = summary["baseline"]
    tried = ", ".join(f"{form} {ms:.1f} ms" for form, ms in baseline["tried_ms"].items() if ms is not None)
    return [
        (
            "Times are of inference, float tensors in and out, transfers to a GPU and back included; 'host' is what "
            "uint8 frames cost on top (conversion to tensors and back). 'noise' is how far the median may be off."
        ),
        *_limit_notes(summary),
        f"Baseline: PyTorch eager, official form, inference mode; tried {tried}: {baseline['faster']} is the faster.",
        (
            "PSNR is against fp32 PyTorch on a rendered moving scene, 'loss' what that costs against the true frame. "
            f"Peak memory is the host's (resident, whole process; the harness takes {summary['harness_mb']:.0f} MB)."
        ),
        (
            f"The harness's own cost: {1e3 * summary['overhead_ms']:.1f} us a call, {summary['overhead_share']:.5%} of "
            "the fastest row."
        ),
    ]


def _limit_notes(summary: Mapping[str, Any]) -> list[str]:
    """How fast this CPU multiplies and copies. Files of before the limits were measured have PyTorch's product only."""
    work, speed = summary.get("network_gflop"), summary.get("machine_gflops")
    if work is None:
        return []
    start = f"GFLOP/s: the network as published is {work:.3g} GFLOP a frame."
    end = "unless numbers are narrower or multiplications fewer (Winograd)."
    if "products_gflops" not in summary:
        product = f"PyTorch's float32 matrix product on this CPU, in turn with the rows, makes {speed:.0f} GFLOP/s"
        return [f"{start} {product}: {1e3 * work / speed:.4g} ms a frame, {end}"]
    products = [
        f"{kind} {', '.join(f'{speed:.0f} ({library})' for library, speed in found.items())}"
        for kind, found in summary["products_gflops"].items()
    ]
    lines = [
        start,
        (
            f"The limit: matrix products on this CPU, in turn with the rows, make (GFLOP/s) {'; '.join(products)}. 'of "
            "the limit' is a row's GFLOP/s over the fastest of its arithmetic, of int8 where the rest is bf16 or fp32; "
            "Winograd needs fewer multiplications and may exceed it."
        ),
    ]
    copy = summary.get("copy_gbps")
    return [*lines, *([f"Memory: a copy of 256 MB reads and writes {copy:.1f} GB/s."] if copy else [])]


def _throughput_notes(_: Results) -> list[str]:
    return [
        (
            "fps is frames finished per second while as many requests as the mode has are kept in flight, float "
            "tensors in and out; 'ms a frame in flight' is how long one frame takes meanwhile. All modes share the "
            "same number of CPU threads. PyTorch runs in channels_last."
        )
    ]


def _video_notes(results: Results) -> list[str]:
    return [
        (
            "'made fps' counts the frames made, from the first decoded frame to the closed file; 'fps of inference' is "
            "what the network gave while it worked. Both rows encode with libx264 at crf 18, and "
            "neither looks for scene cuts."
        ),
        (
            f"PSNR is against the frames taken out, in RGB, over the {results.summary['compared_frames']} that every "
            f"row made; the artifact is {results.settings['artifact']}, minterpolate runs with "
            f"{results.settings['minterpolate']}."
        ),
    ]


_NOTES = {Kind.LATENCY: _latency_notes, Kind.THROUGHPUT: _throughput_notes, Kind.VIDEO: _video_notes}


def print_results(console: Console, results: Results) -> None:
    """The table, the rows without figures, and the notes."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = COLUMNS[results.kind]
    for column in columns:
        table.add_column(column.heading, justify="right" if column.number else "left", no_wrap=True)
    for row in measured_rows(results):
        style = "red" if row.get("verdict") == "failed" else None
        table.add_row(*(column.cell(row) for column in columns), style=style)
    console.width = max(console.width, TABLE_WIDTH)  # on a narrow terminal rich would cut columns down to nothing
    console.print(table)
    for line in (*unmeasured_lines(results), *verified_lines(results), *notes(results)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def markdown(results: Results, plot: str = "") -> str:
    """The same as a Markdown document.

    Args:
        results: of latency or throughput.
        plot: file name of the plot, or empty.
    """
    columns = COLUMNS[results.kind]
    title = f"{results.kind.capitalize()} of {results.settings['model']} at {results.settings['size']}"
    parts = [f"# {title}", "", f"```\n{results.command}\n```", ""]
    parts += [_table_line([column.heading for column in columns])]
    parts += [_table_line(["---:" if column.number else "---" for column in columns])]
    parts += [_table_line([column.cell(row) for column in columns]) for row in measured_rows(results)]
    lines = (*verified_lines(results), *notes(results), *unmeasured_lines(results))
    parts += ["", *(f"- {line}" for line in lines), ""]
    if plot:
        parts += [f"![{title}]({plot})", ""]
    return "\n".join([*parts, *_environment_lines(results)]) + "\n"


def _table_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _environment_lines(results: Results) -> list[str]:
    machine = results.environment
    packages = ", ".join(f"{name} {version}" for name, version in machine.get("packages", {}).items())
    gpus = ", ".join(f"{gpu.get('name')} (driver {gpu.get('driver_version')})" for gpu in machine.get("gpus", ()))
    devices = ", ".join(
        " ".join(filter(None, (device["backend"], device["name"], device["description"], device["driver"])))
        for device in machine.get("devices", ())
        if not device["reason"]
    )
    parts = (
        f"Measured {results.created} on {machine.get('cpu')} ({machine.get('architecture')})",
        f"{machine.get('cores')} cores, {machine.get('memory_gb')} GB",
        " ".join(machine.get("flags", ())),
        f"GPU: {gpus or 'none'}",
        f"devices: {devices}" if devices else "",
        f"{machine.get('os')}, Python {machine.get('python')}",
        packages,
    )
    return ["; ".join(filter(None, parts)) + "."]


def save_all(results: Results, path: Path) -> list[Path]:
    """Write the JSON, the Markdown and, for latency, the plot; returns their paths."""
    results.save(path)
    plot = path.with_suffix(".png") if results.kind is Kind.LATENCY else None
    document = path.with_suffix(".md")
    write_text(document, markdown(results, plot.name if plot else ""))
    if plot is None:
        return [path, document]
    from benchmarks.report.plots import draw

    draw(results, plot)
    return [path, document, plot]
