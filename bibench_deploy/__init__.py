"""bibench-deploy: binarized neural networks on real edge devices."""
