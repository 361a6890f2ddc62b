"""INT8 scales from footage, and what each layer loses."""

PAIRS = 128
"""How many pairs of frames calibrate, at most: of the shipped scenes all 101 that move."""
