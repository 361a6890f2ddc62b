"""Training of IFRNet: published losses and schedule, datasets, a resumable loop. Run ``python -m ifrnet.training``."""
