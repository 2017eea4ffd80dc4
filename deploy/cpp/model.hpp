#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <onnxruntime_cxx_api.h>
#include <opencv2/core.hpp>

struct Class {
  int id;
  float score;
  std::string name;
};

// A self-contained ONNX model that `ppcls export --self-contained` wrote: it takes pixels, and describes itself.
class Model {
 public:
  explicit Model(const std::string& path);

  // The best classes of an image (RGB, one byte per channel), the best one first.
  std::vector<Class> classify(const cv::Mat& image) const;

 private:
  Ort::Env env_;
  // Run does not change a session, but is not declared so.
  mutable Ort::Session session_;
  nlohmann::json description_;
};
