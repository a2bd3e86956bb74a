"""The store of measurements, and the paper's published tables."""
