"""Figures of the paper (Kong et al., CVPR 2022), to stand beside ours."""

from __future__ import annotations

from types import MappingProxyType

PUBLISHED = MappingProxyType(
    {
        "vimeo90k": {"ifrnet_s": (35.59, 0.9786), "ifrnet": (35.80, 0.9794), "ifrnet_l": (36.20, 0.9808)},
        "ucf101": {"ifrnet_s": (35.28, 0.9691), "ifrnet": (35.29, 0.9693), "ifrnet_l": (35.42, 0.9698)},
        "SNU-FILM easy": {"ifrnet_s": (39.96, 0.9905), "ifrnet": (40.03, 0.9905), "ifrnet_l": (40.10, 0.9906)},
        "SNU-FILM medium": {"ifrnet_s": (35.92, 0.9792), "ifrnet": (35.94, 0.9793), "ifrnet_l": (36.12, 0.9797)},
        "SNU-FILM hard": {"ifrnet_s": (30.36, 0.9357), "ifrnet": (30.41, 0.9358), "ifrnet_l": (30.63, 0.9368)},
        "SNU-FILM extreme": {"ifrnet_s": (25.05, 0.8582), "ifrnet": (25.05, 0.8587), "ifrnet_l": (25.27, 0.8609)},
        "GoPro 8x": {"ifrnet": (29.84, 0.920)},
        "Adobe240 8x": {"ifrnet": (31.93, 0.943)},
    }
)
"""Group of a dataset -> variant -> PSNR in dB and SSIM."""
