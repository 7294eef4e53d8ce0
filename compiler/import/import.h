// ONNX models as networks of the language.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/result.h"
#include "ir/type.h"

namespace cardinal {

struct ImportOptions {
  std::string network;                                 // its name, as far as it can be one
  std::map<std::string, std::vector<int64_t>> shapes;  // of inputs that the model leaves open
  bool flat = false;                                   // a statement for each layer, no blocks or loops
};

struct ImportedWeight {
  std::string name;
  Shape shape;
  std::shared_ptr<const std::vector<float>> values;
};

struct ImportedModel {
  std::string network;                  // its name in the source
  std::string source;                   // as `cardinal fmt` prints it
  std::vector<ImportedWeight> weights;  // every weight that the source names, once
};

// Reads the model and translates it. Everything that cannot be expressed is reported at once, by op and node.
Result<ImportedModel> import_onnx(const std::string& path, const ImportOptions& options);

}  // namespace cardinal
