// Keras's weight files: what versions 2 and 3 have written (fixtures/make.py), and what can be wrong with
// them.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "compiler/weights/apart.h"
#include "compiler/weights/keras_names.h"
#include "compiler/weights/open_weights.h"
#include "tests/runtime/scratch_directory.h"
#include "tests/weights/opening.h"

namespace cardinal {

using namespace testing;

namespace {

// The weights of make.py's `named` models.
Weights named_weights() {
  return {{"conv1.kernel", {{1, 1, 2, 2}, Role::kernel}},
          {"bn1.gamma", {{2}, Role::scale}},
          {"bn1.beta", {{2}, Role::shift}},
          {"bn1.moving_mean", {{2}, Role::mean}},
          {"bn1.moving_variance", {{2}, Role::variance}},
          {"dw.kernel", {{1, 1, 2, 1}, Role::kernel}},
          {"dw.bias", {{2}, Role::bias}},
          {"conv2.kernel", {{1, 1, 2, 2}, Role::kernel}},
          {"conv2.bias", {{2}, Role::bias}},
          {"inner.conv.kernel", {{1, 1, 2, 3}, Role::kernel}},
          {"inner.conv.bias", {{3}, Role::bias}},
          {"sep.depthwise.kernel", {{1, 1, 3, 1}, Role::kernel}},
          {"sep.pointwise.kernel", {{1, 1, 3, 3}, Role::kernel}},
          {"sep.pointwise.bias", {{3}, Role::bias}},
          {"ln.gamma", {{3}, Role::scale}},
          {"ln.beta", {{3}, Role::shift}},
          {"fc.kernel", {{3, 2}, Role::kernel}},
          {"fc.bias", {{2}, Role::bias}}};
}

Weights unscaled_weights() {
  return {{"bn1.beta", {{2}, Role::shift}},
          {"bn1.moving_mean", {{2}, Role::mean}},
          {"bn1.moving_variance", {{2}, Role::variance}},
          {"conv1.kernel", {{1, 1, 2, 3}, Role::kernel}},
          {"conv1.bias", {{3}, Role::bias}}};
}

void add_block(Weights& weights, const std::string& conv, const std::string& bn) {
  weights.insert(weights.end(), {{conv + ".kernel", {{1, 1, 2, 2}, Role::kernel}},
                                 {conv + ".bias", {{2}, Role::bias}},
                                 {bn + ".gamma", {{2}, Role::scale}},
                                 {bn + ".beta", {{2}, Role::shift}},
                                 {bn + ".moving_mean", {{2}, Role::mean}},
                                 {bn + ".moving_variance", {{2}, Role::variance}}});
}
Weights class_weights(const std::vector<std::string>& convs, const std::vector<std::string>& bns,
                      const std::string& head) {
  Weights out{{"stem.kernel", {{1, 1, 2, 2}, Role::kernel}}, {"stem.bias", {{2}, Role::bias}}};
  for (size_t i = 0; i < convs.size(); ++i) add_block(out, convs[i], bns[i]);
  out.push_back({head + ".kernel", {{2, 2}, Role::kernel}});
  out.push_back({head + ".bias", {{2}, Role::bias}});
  return out;
}

std::string names(const std::vector<KerasDataset>& datasets, const Weights& wanted = {},
                  const KerasLayers& layers = {}) {
  Result<std::vector<std::string>> out = keras_names(datasets, layers, Wanted(weights_only(wanted)));
  return out ? fmt::format("{}", fmt::join(*out, " ")) : out.error().list().front().message;
}

std::string file_error(const std::string& name, const Weights& weights) {
  return open_error(read_text(fixture(name)), weights_only(weights));
}

}  // namespace

TEST_CASE("keras: models of layers with names") {
  for (const char* file : {"keras3.keras", "keras3.h5", "keras33.keras", "keras2.keras", "keras2.h5"})
    check_counts(fixture(file), named_weights());
}

TEST_CASE("keras: models that are classes go by attributes or by the layers' names") {
  check_counts(fixture("keras3_classes.weights.h5"),
               class_weights({"blocks.block.conv", "blocks.block_1.conv"},
                             {"blocks.block.bn", "blocks.block_1.bn"}, "head"));
  Weights own_names = class_weights({"block.conv2d", "block_1.conv2d_1"},
                                    {"block.batch_normalization", "block_1.batch_normalization_1"}, "dense");
  for (const char* file : {"keras3_classes.weights.h5", "keras3_classes.h5", "keras2_classes.h5"})
    check_counts(fixture(file), own_names);
}

TEST_CASE("keras: normalizations without gamma; optimizers and metrics are left out") {
  for (const char* file :
       {"keras3_unscaled.keras", "keras3_unscaled.h5", "keras2_unscaled.keras", "keras2_unscaled.h5"})
    check_counts(fixture(file), unscaled_weights());
  CHECK(file_error("keras3_unscaled.weights.h5", unscaled_weights())
            .find("layer bn1 has 3 variables, expected 4: one with scale=False or center=False, and the file "
                  "does not "
                  "say which; save the whole model as .keras or .h5") != std::string::npos);
}

TEST_CASE("keras: what does not fit is named as elsewhere") {
  Weights weights = named_weights();
  weights[0].second.shape = {1, 1, 2, 5};
  CHECK(file_error("keras3.h5", weights).find("conv1.kernel has shape [1, 1, 2, 2], expected [1, 1, 2, 5]") !=
        std::string::npos);
  weights[0] = {"conv_1.kernel", {{1, 1, 2, 2}, Role::kernel}};
  CHECK(file_error("keras3.keras", weights).find("the closest name in the file is conv1.kernel") !=
        std::string::npos);
}

TEST_CASE("keras: names of variables that have numbers") {
  CHECK(
      names(
          {{"layers/a/vars/0", 4}, {"layers/a/vars/1", 1}, {"layers/b/vars/0", 1}, {"layers/b/vars/1", 1}}) ==
      "a.kernel a.bias b.gamma b.beta");
  CHECK(names({{"_layer_checkpoint_dependencies/a/vars/0", 2}}) == "a.kernel");
  CHECK(names({{"a/vars/0", 1}, {"a/vars/1", 1}, {"a/vars/2", 1}, {"a/vars/3", 1}}) ==
        "a.gamma a.beta a.moving_mean a.moving_variance");
  CHECK(names({{"a/vars/0", 1}, {"a/vars/1", 1}, {"a/vars/2", 1}}) == "a.vars.0 a.vars.1 a.vars.2");
  CHECK(names({{"a/vars/0", 2}, {"a/vars/1", 1}, {"a/vars/2", 1}}) == "a.vars.0 a.vars.1 a.vars.2");
  CHECK(names({{"vars/0", 1}}) == "vars.0");
  CHECK(names({{"a/scale/vars/0", 1}}, {{"a.scale", {{2}, Role::scale}}}) == "a.scale");
  CHECK(names({{"a/vars/0", 1}, {"a/vars/1", 1}}, {}, {{"a", {"", true, false, false}}}) ==
        "a.moving_mean a.moving_variance");
  CHECK(names({{"layers/dropout/seed_generator/vars/0", 1}, {"optimizer/vars/0", 1}, {"a/kernel", 2}}) ==
        "  a.kernel");
  CHECK(names({{"a/a/kernel:0", 2}, {"a/kernel", 2}}) == "a.kernel a/kernel");
  CHECK(names({{"a/a/depthwise_kernel:0", 4}}, {{"a.kernel", {{1, 1, 2, 1}, Role::kernel}}}) == "a.kernel");
}

TEST_CASE("keras: groups that are called as other layers are") {
  // The model's first Conv2D was the second that the program made, and so on.
  const KerasLayers layers = {{"layers/conv2d", {"conv2d_1", true}}, {"layers/conv2d_1", {"conv2d_2", true}}};
  const std::vector<KerasDataset> datasets = {{"layers/conv2d/vars/0", 4}, {"layers/conv2d_1/vars/0", 4}};
  const Weights own = {{"conv2d_1.kernel", {{1, 1, 2, 2}, Role::kernel}},
                       {"conv2d_2.kernel", {{1, 1, 2, 2}, Role::kernel}}};
  CHECK(names(datasets, own, layers) == "conv2d_1.kernel conv2d_2.kernel");
  const Weights groups = {{"conv2d.kernel", {{1, 1, 2, 2}, Role::kernel}},
                          {"conv2d_1.kernel", {{1, 1, 2, 2}, Role::kernel}}};
  CHECK(names(datasets, groups, layers) == "conv2d.kernel conv2d_1.kernel");
}

TEST_CASE("keras: names in config.json") {
  auto layer = [](const std::string& type, const std::string& config) {
    return fmt::format(R"({{"class_name": "{}", "config": {{{}}}}})", type, config);
  };
  KerasLayers layers = keras_layers(layer(
      "Functional",
      fmt::format(R"("layers": [{}, {}, {}])", layer("Conv2D", R"("name": "x")"),
                  layer("Sequential", R"("name": "s", "layers": [)" + layer("ReLU", R"("name": "r")") + "]"),
                  layer("Conv2D", R"("name": "y", "scale": false)"))));
  REQUIRE(layers.size() == 4);
  CHECK(layers["layers/conv2d"].name == "x");
  CHECK(layers["layers/conv2d_1"].name == "y");
  CHECK_FALSE(layers["layers/conv2d_1"].scale);
  CHECK(layers["layers/sequential/layers/re_lu"].name == "r");
  for (const char* wrong :
       {"", "{", "7", "[[[[", R"({"config": 7})", R"({"config": {"layers": [7, {"config": []}]}})"})
    CHECK(keras_layers(wrong).size() <= 1);
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += R"({"config": {"layers": [)";
  CHECK(keras_layers(deep).empty());
}

TEST_CASE("keras: broken files are refused") {
  auto refused = [](const std::string& content, const std::string& part) { check_refused(content, part); };
  std::string right = read_text(fixture("keras3.h5"));
  refused(right.substr(0, 8), "is not a usable HDF5 file: libhdf5 cannot open it; is the file truncated?");
  refused(right.substr(0, right.size() - 1), "libhdf5 cannot open it");
  refused(zip({{.name = "model.weights.h5", .content = "hello"}}), "libhdf5 cannot open it");
  refused(zip({{.name = "model.weights.h5", .content = "", .flags = 1}}), "is encrypted");
  refused(zip({{.name = "model.weights.h5",
                .content = std::string(1 << 20, '\0'),
                .deflate = true,
                .zip64 = true,
                .claimed_bytes = uint64_t{1} << 40}}),
          "model.weights.h5 claims 1099511627776 bytes, expected at most");
  refused(zip({{.name = "config.json", .content = "x", .claimed_bytes = 2}, {.name = "model.weights.h5"}}),
          "config.json is stored in 1 bytes but claims 2");
}

TEST_CASE("hdf5: element types, compression and what is not read") {
  std::string content = read_text(fixture("hdf5_types.h5"));
  Weight w{{8}, Role::bias};
  Weights usable{{"float16", w}, {"float32", w}, {"float64", w}, {"big_endian", w}, {"gzip", w}};
  ScratchDirectory directory;
  write_text(directory.file("w"), content);
  std::string error = open_error(content, weights_only(usable));
  CHECK(error.find("3 weights the network does not have") != std::string::npos);
  for (const char* other : {"int32", "text", "huge"}) CHECK(error.find(other) != std::string::npos);
  CHECK(error.find("is missing") == std::string::npos);
  CHECK(error.find("linked") == std::string::npos);
  check_refused(content, "int32: its dtype is int32, expected F32", weights_only({{"int32", w}}));
  check_refused(content, "text: its dtype is not a number", weights_only({{"text", w}}));
  check_refused(content, "huge: it has a dimension of 1099511627776", weights_only({{"huge", w}}));
  check_refused(read_text(fixture("hdf5_external.h5")), "the elements of w are not in the file itself");
  check_refused(read_text(fixture("hdf5_cycle.h5")), "is nested more than 32 groups deep");
}

TEST_CASE("hdf5: fuzz") {
// Every file is opened by a process of its own, and forking one that AddressSanitizer watches takes 70 ms.
#ifdef __SANITIZE_ADDRESS__
  constexpr int kRounds = 30;
#else
  constexpr int kRounds = 200;
#endif
  Weights small{{"a.kernel", {{2, 2}, Role::kernel}}, {"a.bias", {{2}, Role::bias}}};
  fuzz(read_text(fixture("hdf5_small.h5")), weights_only(small), kRounds);
  fuzz(read_text(fixture("keras3_unscaled.keras")), weights_only(unscaled_weights()), kRounds / 5);
}

// ---- work in a process of its own

TEST_CASE("apart: what is written comes back, and every end is told") {
  auto run = [](const std::function<std::string(int)>& work, ApartLimits limits = {int64_t{1} << 30, 10}) {
    Result<MappedFile> file = run_apart(limits, work);
    if (!file) return file.error().list().front().message;
    return std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  };
  auto write_hello = [](int fd) { return std::string(write(fd, "hello", 5) == 5 ? "" : "no"); };
  CHECK(run(write_hello) == "hello");
  CHECK(run([](int) { return std::string("it is wrong"); }) == "it is wrong");
  CHECK(run([](int) { return std::string(100000, 'x'); }).size() == 4096);
  CHECK(run([](int) -> std::string {
          raise(SIGKILL);
          return {};
        }) == "the process that read it died (signal 9); the file is damaged");
  CHECK(run([](int) -> std::string { _exit(7); }) ==
        "the process that read it died (exit status 7); the file is damaged");
  CHECK(run(
            [](int) -> std::string {
              for (volatile bool forever = true; forever;) continue;
              return {};
            },
            {int64_t{1} << 30, 1})
            .find("died (signal") != std::string::npos);
  // Room enough for AddressSanitizer, which ends the process, to report it.
  ApartLimits little_memory{1 << 26, 10};
  auto allocate = [](int) {
    void* volatile memory = std::malloc(size_t{1} << 30);
    return std::string(memory ? "too much" : "refused");
  };
  std::string ended = run(allocate, little_memory);
  CHECK((ended == "refused" || ended.find("died (exit status 1)") != std::string::npos));
}

}  // namespace cardinal
