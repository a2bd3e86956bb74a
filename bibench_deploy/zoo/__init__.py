"""Binarized operators and architectures in PyTorch: what a user trains, and what tests a converter.

``registry`` knows every identifier and imports no torch; everything else needs the extra ``zoo``.

::

    registry      identifiers, papers, data sets, options
    sign          sign(x) in both conventions and the surrogate gradients
    bnn … fda     one operator a file: how weights and activations are binarized and rescaled
    layers        BinaryConv2d, BinaryConv1d, BinaryLinear
    resnet, vgg   architectures
    build         a model by its identifiers, and seeded statistics for an untrained one
    onnx_export   model → ONNX file with metadata
    data, training, checkpoint   ``zoo train``
"""
