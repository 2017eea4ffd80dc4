#include "preprocess.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <opencv2/imgproc.hpp>

namespace {

using nlohmann::json;

cv::Size pair(const json& size) {
  return size.is_array() ? cv::Size(size.at(0), size.at(1)) : cv::Size(size, size);
}

// A value that is absent or null is the default.
std::string text(const json& values, const char* key, const char* standard) {
  return values.contains(key) && !values.at(key).is_null() ? values.at(key).get<std::string>() : standard;
}

bool is_pillow(const json& values) {
  const std::string backend = text(values, "backend", "cv2");
  if (backend != "cv2" && backend != "pil") throw std::runtime_error("backend " + backend + ": not known");
  return backend == "pil";
}

// As Python rounds: halves to even.
int round_half_even(double value) { return static_cast<int>(std::nearbyint(value)); }

struct Filter {
  double support;
  std::function<double(double)> at;
};

double triangle(double x) { return std::max(0.0, 1 - std::abs(x)); }

// Keys' cubic convolution.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

// Pillow's weights are integers of this many binary digits.
constexpr int kPrecision = 22;

// Changes the width as Pillow does: averages over all pixels that a smaller image leaves out, and rounds to bytes.
cv::Mat resize_width(const cv::Mat& image, int width, const Filter& filter) {
  cv::Mat made(image.rows, width, CV_8UC3);
  const double scale = static_cast<double>(image.cols) / width;
  const double stretch = std::max(scale, 1.0);
  for (int x = 0; x < width; ++x) {
    const double centre = (x + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - filter.support * stretch + 0.5));
    const int last = std::min(image.cols, static_cast<int>(centre + filter.support * stretch + 0.5));
    std::vector<double> parts;
    double total = 0;
    for (int place = first; place < last; ++place) {
      parts.push_back(filter.at((place + 0.5 - centre) / stretch));
      total += parts.back();
    }
    std::vector<int64_t> weights;
    for (double part : parts) weights.push_back(std::llround(part / total * (1 << kPrecision)));
    for (int y = 0; y < image.rows; ++y) {
      const cv::Vec3b* row = image.ptr<cv::Vec3b>(y);
      for (int channel = 0; channel < 3; ++channel) {
        int64_t sum = 1 << (kPrecision - 1);
        for (size_t k = 0; k < weights.size(); ++k) sum += weights[k] * row[first + k][channel];
        made.at<cv::Vec3b>(y, x)[channel] = static_cast<uchar>(std::clamp<int64_t>(sum >> kPrecision, 0, 255));
      }
    }
  }
  return made;
}

cv::Mat resize_like_pillow(const cv::Mat& image, cv::Size size, const std::string& interpolation) {
  static const std::map<std::string, Filter> filters{{"bilinear", {1, triangle}}, {"bicubic", {2, cubic}}};
  const auto filter = filters.find(interpolation);
  if (filter == filters.end()) throw std::runtime_error("interpolation " + interpolation + " of pil: not known here");
  cv::Mat made = size.width == image.cols ? image : resize_width(image, size.width, filter->second);
  if (size.height == image.rows) return made;
  cv::transpose(made, made);
  cv::transpose(resize_width(made, size.height, filter->second), made);
  return made;
}

cv::Mat resize_by_opencv(const cv::Mat& image, cv::Size size, const std::string& interpolation) {
  static const std::map<std::string, int> flags{{"nearest", cv::INTER_NEAREST},
                                                {"bilinear", cv::INTER_LINEAR},
                                                {"bicubic", cv::INTER_CUBIC},
                                                {"area", cv::INTER_AREA},
                                                {"lanczos", cv::INTER_LANCZOS4}};
  const auto flag = flags.find(interpolation);
  if (flag == flags.end()) throw std::runtime_error("interpolation " + interpolation + " of cv2: not known here");
  cv::Mat made;
  cv::resize(image, made, size, 0, 0, flag->second);
  return made;
}

cv::Size by_short_side(cv::Size size, int length, bool pillow) {
  const int shorter = std::min(size.width, size.height);
  if (!pillow) {
    const double ratio = static_cast<double>(length) / shorter;
    return {std::max(1, round_half_even(size.width * ratio)), std::max(1, round_half_even(size.height * ratio))};
  }
  const int longer = static_cast<int>(static_cast<int64_t>(length) * std::max(size.width, size.height) / shorter);
  return size.width <= size.height ? cv::Size(length, longer) : cv::Size(longer, length);
}

cv::Mat resize(const cv::Mat& image, const json& values) {
  const bool pillow = is_pillow(values);
  const json size = values.value("size", json());
  const cv::Size target =
      size.is_null() ? by_short_side(image.size(), values.at("resize_short"), pillow) : pair(size);
  if (target == image.size()) return image;
  const std::string interpolation = text(values, "interpolation", "bilinear");
  return pillow ? resize_like_pillow(image, target, interpolation) : resize_by_opencv(image, target, interpolation);
}

cv::Mat crop(const cv::Mat& image, const json& values) {
  const cv::Size size = pair(values.at("size"));
  const bool pillow = is_pillow(values);
  const cv::Size rest = image.size() - size;
  if (rest.width < 0 || rest.height < 0) throw std::runtime_error("the image is smaller than its crop");
  const auto half = [&](int side) { return pillow ? round_half_even(side / 2.0) : side / 2; };
  return image(cv::Rect(cv::Point(half(rest.width), half(rest.height)), size));
}

}  // namespace

cv::Mat preprocess(cv::Mat image, const json& ops) {
  for (const json& op : ops) {
    const std::string name = op.begin().key();
    const json values = op.begin()->is_null() ? json::object() : *op.begin();
    if (name == "ResizeImage") {
      image = resize(image, values);
    } else if (name == "CropImage") {
      image = crop(image, values);
    } else if (name == "DecodeImage") {
      if (!values.value("to_rgb", true) || values.value("channel_first", false) || values.value("channels", 3) != 3) {
        throw std::runtime_error("DecodeImage " + values.dump() + ": this example decodes to RGB, rows first");
      }
    } else if (name != "NormalizeImage" && name != "ToCHWImage") {  // those are inside the model
      throw std::runtime_error(name + ": this example does not know it; add it to preprocess.cpp");
    }
  }
  return image;
}
