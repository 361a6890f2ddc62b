"""Openly licensed footage and photographs that software packages ship: what there is, how to get it, which triplets.

Training, calibration, benchmarks and the demonstration share these rows, so that what may be trained on and what is
kept for evaluation is written down once. Nothing here needs PyTorch.
"""

from ifrnet.footage.catalogue import MEDIA, PACKAGES, Media, Package, Use
from ifrnet.footage.download import cache_folder, fetch
from ifrnet.footage.errors import FootageError
from ifrnet.footage.triplets import Triplet, find_triplets
from ifrnet.footage.video import read_frames

__all__ = [
    "MEDIA",
    "PACKAGES",
    "FootageError",
    "Media",
    "Package",
    "Triplet",
    "Use",
    "cache_folder",
    "fetch",
    "find_triplets",
    "read_frames",
]
