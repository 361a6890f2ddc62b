"""Interpolating videos over any artifact: exact timing, audio kept, honest time steps."""
