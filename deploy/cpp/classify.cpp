// Classifies image files: classify MODEL.onnx IMAGE...   One line of JSON per image, with its classes or an error.

#include <exception>
#include <iostream>

#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "model.hpp"

namespace {

cv::Mat decode(const std::string& path) {
  // The EXIF orientation is applied and transparency dropped, as ppcls does.
  cv::Mat image = cv::imread(path, cv::IMREAD_COLOR);
  if (image.empty()) throw std::runtime_error("cannot be read, or is no image");
  cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  return image;
}

// Prints the classes of one file, or what is wrong with it, which does not stop the others; returns whether it is whole.
bool run(const Model& model, const std::string& path) {
  nlohmann::json line{{"file", path}};
  try {
    nlohmann::json classes = nlohmann::json::array();
    for (const Class& found : model.classify(decode(path))) {
      classes.push_back({{"class_id", found.id}, {"score", found.score}, {"name", found.name}});
    }
    line["classes"] = classes;
  } catch (const std::exception& error) {
    line["error"] = error.what();
  }
  std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  return !line.contains("error");
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) {
    std::cerr << "usage: classify MODEL.onnx IMAGE...\n";
    return 2;
  }
  bool whole = true;
  try {
    const Model model(arguments[1]);
    for (int index = 2; index < count; ++index) whole = run(model, arguments[index]) && whole;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 2;
  }
  return whole ? 0 : 2;
}
