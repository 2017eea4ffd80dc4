"""What users choose by name for predictions. Importing this imports nothing."""

BACKENDS = ("auto", "paddle", "onnx", "openvino")
PRECISIONS = ("auto", "float32", "bfloat16")
TTA = ("none", "flip", "crops")  # views of an image whose probabilities are averaged
