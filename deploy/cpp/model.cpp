#include "model.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <numeric>
#include <stdexcept>

#include "preprocess.hpp"

namespace {

constexpr const char* kInput = "pixels";

nlohmann::json describe(const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  if (std::string(session.GetInputNameAllocated(0, allocator).get()) != kInput) {
    throw std::runtime_error(
        "not a self-contained model: take inference_self_contained.onnx, of `ppcls export --self-contained`");
  }
  const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("ppcls", allocator);
  if (!text) throw std::runtime_error("the model was not exported by ppcls: it has no description");
  return nlohmann::json::parse(text.get());
}

}  // namespace

Model::Model(const std::string& path)
    : env_(ORT_LOGGING_LEVEL_ERROR),
      // A path's characters are wide on Windows.
      session_(env_, std::filesystem::u8path(path).c_str(), Ort::SessionOptions()),
      description_(describe(session_)) {
  const auto& postprocess = description_.at("PostProcess");
  if (!postprocess.contains("Topk")) {
    throw std::runtime_error("the answers of this model are made by " + postprocess.begin().key() +
                             ": this example does not know it; add it to model.cpp");
  }
}

std::vector<Class> Model::classify(const cv::Mat& image) const {
  cv::Mat pixels = preprocess(image, description_.at("PreProcess").at("transform_ops"));
  if (!pixels.isContinuous()) pixels = pixels.clone();
  const std::array<int64_t, 4> shape{1, pixels.rows, pixels.cols, 3};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const Ort::Value input =
      Ort::Value::CreateTensor<uint8_t>(memory, pixels.data, pixels.total() * 3, shape.data(), shape.size());

  Ort::AllocatorWithDefaultOptions allocator;
  const auto output = session_.GetOutputNameAllocated(0, allocator);
  const char* inputs[] = {kInput};
  const char* outputs[] = {output.get()};
  const auto answers = session_.Run(Ort::RunOptions(), inputs, &input, 1, outputs, 1);
  const float* scores = answers.front().GetTensorData<float>();
  const size_t count = answers.front().GetTensorTypeAndShapeInfo().GetElementCount();

  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int one, int other) { return scores[one] > scores[other]; });

  const auto& topk = description_.at("PostProcess").at("Topk");
  order.resize(std::min(count, topk.at("topk").get<size_t>()));
  const auto names = topk.value("label_list", nlohmann::json());
  std::vector<Class> found;
  for (int id : order) {
    found.push_back({id, scores[id], names.is_array() ? names.at(id).get<std::string>() : std::to_string(id)});
  }
  return found;
}
