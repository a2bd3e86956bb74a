"""ONNX in, binary graph out: recognition by meaning."""
