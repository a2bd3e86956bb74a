"""Larq Compute Engine."""
