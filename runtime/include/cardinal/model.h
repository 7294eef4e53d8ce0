// Model: a compiled network, loaded from a shared object or linked into the program.
#pragma once

#include <cardinal/abi.h>
#include <cardinal/expected.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace cardinal {

// An input or output of a network. The views live as long as the Model they came from.
struct TensorInfo {
  std::string_view name;
  cardinal_dtype dtype = CARDINAL_F32;
  cardinal_layout layout = CARDINAL_NCHW;  // the order of the elements in the caller's buffer
  std::span<const int64_t> shape;          // N, C, H, W or N, C, whatever the layout
  size_t elements = 0;                     // in the buffer, padding of a blocked layout included
  size_t bytes = 0;                        // of the buffer
  // The caller chooses N in each run: shape, elements and bytes are those of one image, and buffers hold any
  // number.
  bool open_batch = false;
};

// "x: f32[1, 3, 224, 224] nchw"; "x: f32[N, 3, 224, 224] nchw" with an open batch
std::string describe(const TensorInfo& tensor);

struct LoadOptions {
  // Reads the whole file once (about 10 GB/s when it is cached), on up to four threads that end before the
  // load does, and compares its hash. Without it a corrupted file may crash the program.
  bool verify_hash = true;
  // Where the weight file is, for networks compiled with --weights-file. Empty: beside the shared object.
  // Networks linked into the program have no such place, so they need it.
  std::string weights_path;
  // Refuse any other model; a generated header has it as `NET::model_hash`. 0 accepts every model.
  uint64_t expected_model_hash = 0;
  // Run this variant, by its target; see Model::variants. Empty: the best that this CPU supports.
  std::string variant;
  // Copy the weights to 2 MiB pages: fewer TLB misses, but the copy is private to this process, and loading
  // takes longer. On a Zen 5 ResNeXt-101 (0.9 GB) is 7% faster so, networks of up to 0.6 GB 0 to 2%.
  bool weights_in_huge_pages = false;
};

// A compiled network: immutable, cheap to copy (copies share it), usable from any number of threads at once.
// The shared object and the weight file stay mapped until the last copy, and the last Session made from one,
// is gone.
class Model {
 public:
  // Loads a shared object that `cardinal compile` wrote. The file is checked completely before any of it is
  // run. The check detects accidents, not malice: a shared object is a program, so load only those whose
  // origin you trust.
  static Expected<Model> load(const std::string& path, const LoadOptions& options = {});

  // A network linked into this program, by the object its generated header declares:
  // Model::from(resnet18_cardinal_model). The table is used in place.
  static Expected<Model> from(const cardinal_model& model, const LoadOptions& options = {});

  std::string_view name() const;
  std::string_view target() const;    // the LLVM CPU that the variant which is run was compiled for
  std::string_view compiler() const;  // what compiled it
  uint64_t model_hash() const;
  std::span<const TensorInfo> inputs() const;
  std::span<const TensorInfo> outputs() const;
  std::span<const cardinal_step> steps() const;
  uint64_t workspace_bytes() const;  // per Session
  uint64_t weights_bytes() const;    // packed
  uint64_t parameter_count() const;  // of the source network, batch-norm statistics included
  uint64_t flops() const;            // per run: 2 per multiply-add of direct convolution

  // The packed weights, in the file, the program or the private copy.
  const void* weights() const;
  // The C structure of the variant that is run; see abi.h.
  const cardinal_model& raw() const;
  // All variants, the one that asks least of the CPU first.
  std::span<const cardinal_model* const> variants() const;

 private:
  struct State;
  explicit Model(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  static Expected<Model> finish(std::shared_ptr<State> state, const std::string& label,
                                const LoadOptions& options);
  std::shared_ptr<const State> state_;
};

// cardinal_feature bits that this CPU and its operating system support.
uint32_t cpu_features();

}  // namespace cardinal
