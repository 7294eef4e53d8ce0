// Classifies the held-out handwritten digits with the compiled network and compares every answer with
// PyTorch's.
//
//   classify [DATA]     DATA holds images.npy, labels.npy and logits.npy, as train.py writes them
//
// Exit code 0: every image gets the class and, within rounding, the logits that PyTorch gives it; 1: some do
// not, or something is missing.
#include <cardinal/cardinal.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "digits.h"

namespace {

constexpr size_t kSide = 8;
constexpr size_t kPixels = kSide * kSide;
constexpr size_t kClasses = 10;
constexpr float kTolerance = 1e-4f;  // of the largest logit

// The elements of a NumPy file of version 1 whose dtype is `dtype` ("<f4"), in C order; empty if it is
// something else.
template <class T>
std::vector<T> read_npy(const std::string& path, const std::string& dtype) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  constexpr size_t kPreamble = 10;  // magic, version, and the 16-bit length of the header text
  if (bytes.size() < kPreamble || bytes.compare(0, 8, std::string("\x93NUMPY\x01\x00", 8)) != 0) return {};
  const size_t begin = kPreamble + static_cast<uint8_t>(bytes[8]) + 256 * static_cast<uint8_t>(bytes[9]);
  if (begin > bytes.size()) return {};
  const std::string header = bytes.substr(kPreamble, begin - kPreamble);
  if (header.find("'" + dtype + "'") == header.npos || header.find("'fortran_order': False") == header.npos)
    return {};
  std::vector<T> values((bytes.size() - begin) / sizeof(T));
  std::memcpy(values.data(), bytes.data() + begin, values.size() * sizeof(T));
  return values;
}

struct HeldOut {
  std::vector<float> images;    // [count, 1, 8, 8], ink from 0 to 1
  std::vector<int32_t> labels;  // [count]
  std::vector<float> logits;    // [count, 10], PyTorch's
  size_t count() const { return labels.size(); }
};

int class_of(const float* logits) {
  return static_cast<int>(std::max_element(logits, logits + kClasses) - logits);
}

// Microseconds for one image: the median over rounds of the mean over all images.
double time_per_image(cardinal::Session& session, const HeldOut& data) {
  constexpr int kRounds = 21;
  std::vector<double> rounds;
  std::vector<float> logits(kClasses);
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < data.count(); ++i) {
      (void)session.run(std::span(&data.images[i * kPixels], kPixels), logits);
    }
    const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - start;
    rounds.push_back(elapsed.count() / static_cast<double>(data.count()));
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

// The images side by side, two characters a pixel, and below each what it was taken for.
void draw(const std::vector<size_t>& which, const HeldOut& data, const std::vector<int>& predicted) {
  static constexpr const char* kShades[] = {"  ", "░░", "▒▒", "▓▓", "██"};
  for (size_t y = 0; y < kSide; ++y) {
    for (size_t i : which) {
      std::fputs("  ", stdout);
      for (size_t x = 0; x < kSide; ++x) {
        const float ink = std::clamp(data.images[i * kPixels + y * kSide + x], 0.0f, 1.0f);
        std::fputs(kShades[std::lround(4 * ink)], stdout);
      }
    }
    std::puts("");
  }
  for (size_t i : which) std::printf("  predicted %d, is %d", predicted[i], data.labels[i]);
  std::puts("\n");
}

// Draws the first digits, and all that were misread.
void show(const HeldOut& data, const std::vector<int>& predicted) {
  constexpr size_t kRow = 5;  // fits 100 columns
  std::vector<size_t> first, wrong;
  for (size_t i = 0; i < data.count(); ++i) {
    if (first.size() < kRow) first.push_back(i);
    if (predicted[i] != data.labels[i]) wrong.push_back(i);
  }
  draw(first, data, predicted);
  if (wrong.empty()) return;
  std::printf("misread:\n");
  for (size_t i = 0; i < wrong.size(); i += kRow) {
    draw({wrong.begin() + i, wrong.begin() + std::min(i + kRow, wrong.size())}, data, predicted);
  }
}

float largest_magnitude(const std::vector<float>& values) {
  float largest = 0;
  for (float value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

// Returns whether PyTorch's answers were reproduced.
bool classify(cardinal::Session& session, const HeldOut& data) {
  const float largest = largest_magnitude(data.logits);
  std::vector<int> predicted(data.count());
  size_t right = 0, same_class = 0, same_logits = 0;
  float error = 0;
  for (size_t i = 0; i < data.count(); ++i) {
    float logits[kClasses];
    if (auto done = session.run(std::span(&data.images[i * kPixels], kPixels), logits); !done) {
      std::fprintf(stderr, "%s\n", done.error().message().c_str());
      return false;
    }
    const float* expected = &data.logits[i * kClasses];
    predicted[i] = class_of(logits);
    right += predicted[i] == data.labels[i];
    same_class += predicted[i] == class_of(expected);
    bool close = true;
    for (size_t c = 0; c < kClasses; ++c) {
      const float difference = std::abs(logits[c] - expected[c]);
      close &= difference <= kTolerance * largest;  // false for a NaN
      error = std::max(error, difference);
    }
    same_logits += close;
  }
  show(data, predicted);
  std::printf("accuracy        %.2f%% (%zu of %zu held-out images)\n", 100.0 * right / data.count(), right,
              data.count());
  std::printf(
      "as PyTorch      %zu of %zu classes, %zu of %zu logits (largest difference %.1e of the largest)\n",
      same_class, data.count(), same_logits, data.count(), error / largest);
  std::printf("time per image  %.1f us on one thread\n", time_per_image(session, data));
  return same_class == data.count() && same_logits == data.count();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string directory = argc > 1 ? argv[1] : DIGITS_DATA;
  const HeldOut data{read_npy<float>(directory + "/images.npy", "<f4"),
                     read_npy<int32_t>(directory + "/labels.npy", "<i4"),
                     read_npy<float>(directory + "/logits.npy", "<f4")};
  if (data.count() == 0 || data.images.size() != data.count() * kPixels ||
      data.logits.size() != data.count() * kClasses) {
    std::fprintf(stderr,
                 "no held-out digits in %s: images.npy, labels.npy and logits.npy must be there and fit\n",
                 directory.c_str());
    return 1;
  }
  auto model = cardinal::Model::from(digits_cardinal_model);
  if (!model) {
    std::fprintf(stderr, "%s\n", model.error().message().c_str());
    return 1;
  }
  auto session = cardinal::Session::create(*model);
  if (!session) {
    std::fprintf(stderr, "%s\n", session.error().message().c_str());
    return 1;
  }
  return classify(*session, data) ? 0 : 1;
}
