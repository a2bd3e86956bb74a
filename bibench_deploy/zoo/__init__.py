"""Binarized operators and architectures as PyTorch modules."""
