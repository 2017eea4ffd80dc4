#pragma once

#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>

// Resizes and crops an image (RGB, one byte per channel) as ppcls does in training and evaluation. `ops` is
// PreProcess.transform_ops of the model's description; normalization is inside a self-contained model.
cv::Mat preprocess(cv::Mat image, const nlohmann::json& ops);
