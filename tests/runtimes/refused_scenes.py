"""What is no scene, as changes of one that is; every reader refuses each."""

from __future__ import annotations

CHANGES: list[dict[str, object]] = [
    {"width": 0},
    {"width": 20000},
    {"width": "64"},
    {"width": True},
    {"radius": 0},
    {"waves": []},
    {"waves": [[1, 2, 3, 4, 5, 6]] * 65},
    {"waves": [[1, 2, 3, 4, 5]]},
    {"waves": [[1, 2, 3, 40000, 5, 6]]},
    {"waves": [[-1, 2, 3, 4, 5, 6]]},
    {"waves": [[1.5, 2, 3, 4, 5, 6]]},
    {"frames": [[0, 0, 0, 0, 0]]},
    {"frames": [[0, 0, 0, 0], [0, 0, 0, 0]]},
    {"frames": [[0, 0, 0, 0, 2**40], [0, 0, 0, 0, 0]]},
    {"width": 64.0},
]
