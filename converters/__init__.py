"""From ONNX to engine artefacts: reader, fusion, deployability, verification; one folder per engine."""
