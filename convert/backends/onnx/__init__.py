"""Programs → ONNX models."""
