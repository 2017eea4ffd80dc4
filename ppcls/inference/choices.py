"""What users choose the runtime of an exported model by. Importing this imports nothing."""

BACKENDS = ("auto", "paddle", "onnx", "openvino")
PRECISIONS = ("auto", "float32", "bfloat16")
