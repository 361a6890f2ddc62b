"""``python -m runtimes concat OUTPUT PART...``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtimes.cli import Parser
from runtimes.commands.common import note
from runtimes.video.errors import require_video_packages


def main(arguments: Sequence[str]) -> int:
    """Join the parts of one job."""
    parser = Parser(
        prog="python -m runtimes concat",
        description="Join what video --chunk 1/n ... n/n made, in any order, without encoding again.",
    )
    parser.add_argument("output", type=Path, help="video to write (.mp4, .mkv, ...)")
    parser.add_argument("parts", type=Path, nargs="+", help="all parts of one job")
    parser.add_argument("--source", type=Path, help="the original, for its sound, subtitles, chapters and metadata")
    parser.add_argument("--audio", choices=("copy", "drop", "stretch"), default="copy", help="default: %(default)s")
    parser.add_argument("--no-subtitles", action="store_true", help="leave subtitles out")
    parser.add_argument("--force", action="store_true", help="replace the output")
    args = parser.parse_args(arguments)
    require_video_packages()
    from runtimes.video.concat import concat
    from runtimes.video.other_streams import AudioMode

    concat(
        args.parts,
        args.output,
        source=args.source,
        audio=AudioMode(args.audio),
        subtitles=not args.no_subtitles,
        force=args.force,
        note=note,
    )
    note(f"{args.output}: {len(args.parts)} parts joined")
    return 0
