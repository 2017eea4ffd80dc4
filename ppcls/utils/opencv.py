"""OpenCV, set up for many worker processes."""

import os

# OpenCV reads this when it is loaded. It bounds what a damaged header can allocate in the formats whose size
# ``ppcls.data.transforms.formats`` cannot read beforehand.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))

import cv2

# Parallelism is by processes: OpenCV's threads would compete with them, and its pool does not survive a fork.
cv2.setNumThreads(0)
if "OPENCV_LOG_LEVEL" not in os.environ and hasattr(cv2.utils, "logging"):  # old releases have no such switch
    # An image that cannot be read gives an error that names the file, without OpenCV's own lines.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = ["cv2"]
