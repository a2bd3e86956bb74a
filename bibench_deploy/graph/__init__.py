"""The binary graph: what the reader hands to fusion, fusion to the engines' emitters, and all to verification."""

from .binary_graph import BinaryGraph, BinaryLayer, Granularity, Layer, Source, Step, constant, steps
from .ops import DOMAIN, MIN_OPSET, add_domain, is_binarize, is_binary_layer

__all__ = [
    "DOMAIN",
    "MIN_OPSET",
    "BinaryGraph",
    "BinaryLayer",
    "Granularity",
    "Layer",
    "Source",
    "Step",
    "add_domain",
    "constant",
    "is_binarize",
    "is_binary_layer",
    "steps",
]
