"""``python -m runtimes concat PART... -o OUTPUT``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtimes.cli import Parser
from runtimes.errors import UsageError
from runtimes.printable import note
from runtimes.video.errors import require_video_packages


def main(arguments: Sequence[str]) -> int:
    """Join the parts of one job."""
    parser = Parser(
        prog="python -m runtimes concat",
        description="Join what video --chunk 1/n ... n/n made, in any order, without encoding again.",
    )
    parser.add_argument("parts", type=Path, nargs="+", metavar="PART", help="all parts of one job")
    parser.add_argument("-o", "--output", type=Path, help="video to write (.mp4, .mkv, ...)")
    parser.add_argument("--source", type=Path, help="the original, for its sound, subtitles, chapters and metadata")
    parser.add_argument("--audio", choices=("copy", "drop", "stretch"), default="copy", help="default: %(default)s")
    parser.add_argument("--no-subtitles", action="store_true", help="leave subtitles out")
    parser.add_argument("--force", action="store_true", help="replace the output")
    args = parser.parse_args(arguments)
    require_video_packages()
    from runtimes.video.concat import concat
    from runtimes.video.other_streams import AudioMode

    output, parts = _output_and_parts(args.output, args.parts)
    _check_output(output, [*parts, *([args.source] if args.source else [])])
    concat(
        parts,
        output,
        source=args.source,
        audio=AudioMode(args.audio),
        subtitles=not args.no_subtitles,
        force=args.force,
        note=note,
    )
    note(f"{output}: {len(parts)} parts joined")
    return 0


def _output_and_parts(output: Path | None, parts: Sequence[Path]) -> tuple[Path, Sequence[Path]]:
    """The order of earlier versions, OUTPUT PART..., is understood where the first is not there yet.

    Raises:
        UsageError: no output is named.
    """
    if output is not None:
        return output, parts
    if len(parts) < 2 or parts[0].exists():
        raise UsageError("concat has no output: name it with -o, for example concat part*.nut -o out.mp4")
    return parts[0], parts[1:]


def _check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Raises UsageError for an output that is one of the inputs, which --force would replace."""
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise UsageError(f"{output} is one of the inputs: name another output")
