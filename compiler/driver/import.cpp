#include "compiler/import/import.h"

#include <cardinal/packaging.h>
#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "compiler/driver/artefacts.h"
#include "compiler/driver/progress.h"
#include "compiler/driver/report.h"
#include "compiler/driver/verbs.h"
#include "compiler/weights/safetensors_writer.h"

namespace cardinal::driver {

namespace {

// "image=1,3,224,224"
Result<std::pair<std::string, std::vector<int64_t>>> parse_shape(const std::string& text) {
  Diagnostics problem(fmt::format("--shape {} is not INPUT=N,C,H,W", text));
  size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) return problem;
  std::vector<int64_t> dims;
  const char *at = text.data() + equals + 1, *end = text.data() + text.size();
  while (true) {
    int64_t dim = 0;
    auto [next, error] = std::from_chars(at, end, dim);
    if (error != std::errc() || dim < 1) return problem;
    dims.push_back(dim);
    if (next == end) break;
    if (*next != ',') return problem;
    at = next + 1;
  }
  return std::pair(text.substr(0, equals), std::move(dims));
}

Status write_both(const ImportedModel& model, const std::string& source, const std::string& weights) {
  std::vector<TensorToWrite> tensors;
  for (const ImportedWeight& weight : model.weights)
    tensors.push_back({weight.name, weight.shape, *weight.values});
  std::string header = safetensors_header(tensors);
  std::vector<std::string_view> pieces{header};
  for (const TensorToWrite& tensor : tensors)
    pieces.emplace_back(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size_bytes());
  if (Expected<void> written = write_file(weights, pieces); !written)
    return Diagnostics(written.error().message());
  const std::string_view text[] = {model.source};
  Expected<void> written = write_file(source, text);
  if (written) return ok();
  const std::string done[] = {weights};
  remove_files(done);
  return Diagnostics(written.error().message());
}

}  // namespace

int import_model(const ImportArgs& args) {
  std::filesystem::path output = args.output;
  if (output.empty()) output = std::filesystem::path(args.model).filename().replace_extension(".nn");
  if (output.extension() != ".nn")
    return fail(fmt::format("-o {}: a network's source is a file .nn", output.string()));
  std::string source = output.string(), weights = output.replace_extension(".safetensors").string();
  const std::string read[] = {args.model};
  for (const std::string& path : {source, weights})
    if (Status good = check_output(path, read); !good) return fail(good.error());

  ImportOptions options{output.stem().string(), {}, args.flat};
  for (const std::string& text : args.shapes) {
    auto shape = parse_shape(text);
    if (!shape) return fail(shape.error());
    options.shapes.insert(*std::move(shape));
  }
  Progress progress(fmt::format("reading {}", args.model));
  Result<ImportedModel> model = import_onnx(args.model, options);
  if (!model) return fail(model.error());
  if (Status written = write_both(*model, source, weights); !written) return fail(written.error());
  size_t parameters = 0;
  for (const ImportedWeight& weight : model->weights) parameters += weight.values->size();
  fmt::print(stderr, "{}: network {}; {}: {} weights, {} parameters\n", source, model->network, weights,
             model->weights.size(), parameters);
  return kDone;
}

}  // namespace cardinal::driver
