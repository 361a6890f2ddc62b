"""INT8 at export: which layers, at which scales, how they stand in the graph, and what they may lose.

``stages`` is what the pipeline calls. Scales of other weights and of other footage are made by ``calibration``, which
stands on this package.
"""
