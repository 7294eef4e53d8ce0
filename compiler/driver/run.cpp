#include <cardinal/cardinal.h>
#include <cardinal/packaging.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "compiler/driver/artefacts.h"
#include "compiler/driver/memory.h"
#include "compiler/driver/report.h"
#include "compiler/driver/tensors.h"
#include "compiler/driver/verbs.h"
#include "compiler/weights/npy.h"
#include "ir/weights.h"

namespace cardinal::driver {

namespace {

// Adapts `images` to the file where the batch is open.
Result<std::vector<std::byte>> read_input(const TensorInfo& tensor, const std::string& path,
                                          int64_t& images) {
  Result<NpyArray> array = read_npy(path);
  if (!array) return array.take_error();
  const Shape& shape = array->type.shape;
  const int64_t held = tensor.open_batch && shape.rank() > 0 ? std::max<int64_t>(shape[0], 1) : 1;
  TensorType expected{buffer_dtype(tensor), buffer_shape(tensor, held)};
  if (array->type != expected) {
    std::string any = tensor.open_batch ? ", N of any number" : "";
    return Diagnostics(fmt::format("{} has {}, input {} takes {} ({}{})", path, to_string(array->type),
                                   tensor.name, to_string(expected), buffer_axes(tensor), any));
  }
  if (tensor.open_batch) images = held;
  return std::move(array->bytes);
}

// NumPy has no bf16, so those outputs are widened.
Status write_output(const TensorInfo& tensor, const std::string& path, std::span<const std::byte> bytes) {
  DType dtype = buffer_dtype(tensor);
  const Shape shape = buffer_shape(tensor, static_cast<int64_t>(bytes.size() / tensor.bytes));
  std::vector<float> wide;
  if (dtype == DType::bf16) {
    wide = to_floats({{dtype, shape}, bytes});
    bytes = std::as_bytes(std::span(wide));
  }
  std::string header = npy_header(dtype == DType::f16 ? "<f2" : "<f4", shape);
  const std::string_view pieces[] = {header, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
  Expected<void> written = write_file(path, pieces);
  return written ? ok() : Diagnostics(written.error().message());
}

double memory_of_a_run(const Model& model) {
  double bytes = static_cast<double>(model.workspace_bytes());
  for (const TensorInfo& tensor : model.inputs()) bytes += static_cast<double>(tensor.bytes);
  for (const TensorInfo& tensor : model.outputs()) bytes += static_cast<double>(tensor.bytes);
  return bytes;
}

}  // namespace

int run(const RunArgs& args) {
  Expected<Model> model = Model::load(args.model, {.variant = args.variant});
  if (!model) return fail(model.error().message());
  Result<std::vector<std::string>> in_files = match_files(model->inputs(), args.inputs, "--input", "input");
  if (!in_files) return fail(in_files.error());
  Result<std::vector<std::string>> out_files =
      match_files(model->outputs(), args.outputs, "--output", "output");
  if (!out_files) return fail(out_files.error());
  std::vector<std::string> read = *in_files;
  read.push_back(args.model);
  for (const std::string& path : *out_files)
    if (Status writable = check_output(path, read); !writable) return fail(writable.error());
  for (auto path = out_files->begin(); path != out_files->end(); ++path)
    if (std::find(out_files->begin(), path, *path) != path && std::filesystem::path(*path) != "/dev/null")
      return fail(fmt::format("two outputs would go to {}", *path));
  if (Status fits = check_memory(memory_of_a_run(*model), "one run"); !fits) return fail(fits.error());

  std::vector<std::vector<std::byte>> inputs, outputs;
  std::vector<InputBuffer> in_buffers;
  std::vector<OutputBuffer> out_buffers;
  int64_t images = 1;
  for (size_t i = 0; i < in_files->size(); ++i) {
    Result<std::vector<std::byte>> bytes = read_input(model->inputs()[i], (*in_files)[i], images);
    if (!bytes) return fail(bytes.error());
    inputs.push_back(*std::move(bytes));
  }
  for (const TensorInfo& tensor : model->outputs())
    outputs.emplace_back(tensor.bytes * (tensor.open_batch ? static_cast<size_t>(images) : 1));
  for (auto& bytes : inputs) in_buffers.emplace_back(std::span<const std::byte>(bytes));
  for (auto& bytes : outputs) out_buffers.emplace_back(std::span<std::byte>(bytes));

  if (args.threads > 1 && model->raw().gpu)
    return fail("--threads is for networks that run on a CPU; this one runs on a GPU");
  std::optional<ThreadPool> pool;
  if (args.threads > 1) pool.emplace(args.threads);
  Expected<Session> session = Session::create(*model, pool ? pool->executor() : cardinal_executor{});
  if (!session) return fail(session.error().message());
  if (Expected<void> done = session->run(in_buffers, out_buffers); !done) return fail(done.error().message());

  for (size_t i = 0; i < out_files->size(); ++i) {
    Status written = write_output(model->outputs()[i], (*out_files)[i], outputs[i]);
    if (written) continue;
    remove_files(std::span(*out_files).first(i));
    return fail(written.error());
  }
  return kDone;
}

}  // namespace cardinal::driver
