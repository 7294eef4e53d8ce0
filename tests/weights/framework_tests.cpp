// Weight files that the frameworks themselves have written (fixtures/make.py), and what can be wrong with
// them.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "compiler/weights/open_weights.h"
#include "tests/runtime/scratch_directory.h"
#include "tests/weights/opening.h"

namespace cardinal {

using namespace testing;

namespace {

// What a convolution, a batch norm and a linear layer are called and how their weights are stored.
Weights mxnet_weights(const std::string& conv, const std::string& bn, const std::string& fc) {
  return {{conv + "weight", {{3, 2, 1, 1}, Role::kernel}},
          {conv + "bias", {{3}, Role::bias}},
          {bn + "gamma", {{3}, Role::scale}},
          {bn + "beta", {{3}, Role::shift}},
          {bn + "running_mean", {{3}, Role::mean}},
          {bn + "running_var", {{3}, Role::variance}},
          {fc + "weight", {{2, 12}, Role::kernel}},
          {fc + "bias", {{2}, Role::bias}}};
}

Weights flax_weights() {
  return {{"params.Conv_0.kernel", {{1, 1, 2, 3}, Role::kernel}},
          {"params.Conv_0.bias", {{3}, Role::bias}},
          {"params.BatchNorm_0.scale", {{3}, Role::scale}},
          {"params.BatchNorm_0.bias", {{3}, Role::shift}},
          {"params.fc.kernel", {{12, 2}, Role::kernel}},
          {"params.fc.bias", {{2}, Role::bias}},
          {"batch_stats.BatchNorm_0.mean", {{3}, Role::mean}},
          {"batch_stats.BatchNorm_0.var", {{3}, Role::variance}}};
}

// A graph that wants one weight called w of three elements.
Graph three() { return weights_only({{"w", {{3}, Role::bias}}}); }

}  // namespace

// ---- MXNet

TEST_CASE("mxnet: what the framework saves is read") {
  check_counts(fixture("gluon.params"), mxnet_weights("0.", "1.", "2."));
  check_counts(fixture("exported.params"), mxnet_weights("net_conv0_", "net_batchnorm0_", "net_dense0_"));
  check_counts(fixture("exported.params"), mxnet_weights("net_conv0.", "net_batchnorm0.", "net_dense0."));
}

TEST_CASE("mxnet: element types") {
  Graph graph = weights_only(
      {{"float16", {{3}, Role::bias}}, {"float32", {{3}, Role::bias}}, {"float64", {{3}, Role::bias}}});
  check_refused(read_text(fixture("dtypes.params")), "2 weights the network does not have", graph);
  check_refused(read_text(fixture("dtypes.params")),
                "int32: its dtype is int32, expected float32, float16, bfloat16 or float64",
                weights_only({{"int32", {{3}, Role::bias}}}));
  CHECK(open_error(read_text(fixture("numpy_mode.params")),
                   weights_only({{"scalar", {{1}, Role::bias}}, {"w", {{3}, Role::bias}}}))
            .empty());
}

namespace {

struct MxArray {
  std::string dims = raw(uint32_t{1}) + raw(int64_t{3});
  int32_t type = 0;
  std::string data = raw(std::vector<float>{1, 2, 3});
  uint32_t magic = 0xf993fac9;
  int32_t storage = 0;
};
std::string mx_file(const MxArray& array, const std::string& name = "w", uint64_t arrays = 1,
                    uint64_t names = 1) {
  return raw(uint64_t{0x112}) + raw(uint64_t{0}) + raw(arrays) + raw(array.magic) + raw(array.storage) +
         array.dims + raw(int32_t{1}) + raw(int32_t{0}) + raw(array.type) + array.data + raw(names) +
         raw(static_cast<uint64_t>(name.size())) + name;
}

}  // namespace

TEST_CASE("mxnet: malformed files are refused") {
  auto refused = [](const std::string& content, const std::string& part) {
    check_refused(content, part, three());
  };
  CHECK(open_error(mx_file({}), three()).empty());
  refused(mx_file({}).substr(0, 20), "it has 20 bytes, expected at least 24");
  refused(mx_file({}, "w", uint64_t{1} << 60), "it claims 1152921504606846976 arrays in");
  refused(mx_file({}, "w", 2), "array 2 of 2: it begins with 0x1, expected 0xf993fac9 or 0xf993faca");
  refused(mx_file({}, "w", 1, 2), "it has 1 arrays but claims 2 names");
  refused(mx_file({}, "w") + "x", "1 bytes follow the last name");
  refused(mx_file({}, std::string(600, 'x')), "the name of array 1 has 600 bytes");
  refused(mx_file({}, "\x1b[2J"), "unprintable");
  refused(mx_file({}, "w", 1).substr(0, 80), "the name of array 1 of 1 ends early");
  refused(mx_file({.type = 13}), "array 1 of 1: its type flag is 13, expected 0 to 12");
  refused(mx_file({.type = -1}), "its type flag is -1");
  refused(mx_file({.dims = raw(uint32_t{1}) + raw(int64_t{30})}),
          "float32[30] needs 120 bytes, the file has 29 left");
  refused(mx_file({.dims = raw(uint32_t{65})}), "it claims 65 dimensions, expected at most 64");
  refused(mx_file({.dims = raw(uint32_t{2}) + raw(std::vector<uint64_t>{~uint64_t{0}, 2})}), "overflows");
  refused(mx_file({.dims = raw(uint32_t{1}) + raw(int64_t{-3})}), "overflows");
  refused(mx_file({.dims = raw(uint32_t{0}), .data = ""}), "array 1 of 1");
  refused(mx_file({.magic = 0xf993fac8}), "from before MXNet 1.0");
  refused(read_text(fixture("sparse.params")),
          "array 1 of 1: its storage type is 1, expected 0 (dense); convert it with .tostype('default')");
  refused(read_text(fixture("unnamed.params")), "its 1 arrays have no names; save a dictionary");
}

TEST_CASE("mxnet: fuzz") {
  fuzz(read_text(fixture("gluon.params")), weights_only(mxnet_weights("0.", "1.", "2.")));
}

// ---- Flax

TEST_CASE("flax: what the framework saves is read") {
  check_counts(fixture("variables.msgpack"), flax_weights());
  check_counts(fixture("chunked.msgpack"), flax_weights());
  check_counts(fixture("train_state.msgpack"), flax_weights());
}

namespace {

std::string text(const std::string& s) { return std::string(1, static_cast<char>(0xa0 + s.size())) + s; }
std::string binary(const std::string& s) { return "\xc4" + std::string(1, static_cast<char>(s.size())) + s; }
std::string array(const std::string& fields) {
  return "\xc7" + std::string(1, static_cast<char>(fields.size())) + "\x01" + fields;
}
const std::string kThree = raw(std::vector<float>{1, 2, 3});

std::string three_of(const std::string& dtype, const std::string& data,
                     const std::string& shape = "\x91\x03") {
  return "\x81" + text("w") + array("\x93" + shape + text(dtype) + binary(data));
}

}  // namespace

TEST_CASE("flax: element types, lists and parameters saved alone") {
  CHECK(open_error(three_of("float32", kThree), three()).empty());
  CHECK(open_error(three_of("float64", raw(std::vector<double>{1, 2, 3})), three()).empty());
  CHECK(open_error(three_of("bfloat16", raw(std::vector<uint16_t>{1, 2, 3})), three()).empty());
  check_refused(three_of("int16", raw(std::vector<uint16_t>{1, 2, 3})), "w: its dtype is int16", three());
  CHECK(open_error(three_of("float32", kThree), weights_only({{"params.w", {{3}, Role::bias}}})).empty());
  std::string list =
      "\x81" + text("w") + "\x92\xc0" + array("\x93\x91\x03" + text("float32") + binary(kThree));
  CHECK(open_error(list, weights_only({{"w.1", {{3}, Role::bias}}})).empty());
}

TEST_CASE("flax: malformed files are refused") {
  auto refused = [](const std::string& content, const std::string& part) {
    check_refused(content, part, three());
  };
  refused(three_of("float32", kThree) + "x", "1 bytes follow the map");
  refused(three_of("float32", "12345678"), "tensor w: float32[3] needs 12 bytes, the file has 8");
  refused(three_of("float32", kThree, "\x91\xff"), "tensor w: it is not a list of shape, dtype and elements");
  refused(three_of("float32", kThree, "\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "it has a dimension of");
  refused("\x82" + text("w"), "tensor w: there is no whole msgpack item at byte 3; is the file truncated?");
  refused("\x82" + text("w") + "\xc1", "there is no whole msgpack item at byte 3");
  refused("\x81" + text("w") + "\x81\x01\x01", "tensor w: a key of its map is not text");
  refused("\x81" + text("w\x1b") + "\x01", "not a usable");
  refused("\xdf\xff\xff\xff\xff" + text("w") + "\x01", "there is no whole msgpack item at byte 8");
  refused("\x81" + text("w") + "\xdf\xff\xff\xff\xff" + text("v"),
          "there is no whole msgpack item at byte 10");
  refused("\x81" + text("w") + "\xc6\xff\xff\xff\xff", "there is no whole msgpack item at byte 3");
  std::string one = text("w") + array("\x93\x91\x03" + text("float32") + binary(kThree));
  refused("\x82" + one + one, "tensor w appears twice");
}

TEST_CASE("flax: malformed chunks are refused") {
  auto chunked = [](const std::string& rest) {
    return "\x81" + text("w") + "\x83\xb9__msgpack_chunked_array__\xc3" + rest;
  };
  std::string shape = text("shape") + "\x81" + text("0") + "\x03";
  std::string chunk = array("\x93\x91\x03" + text("float32") + binary(kThree));
  auto refused = [](const std::string& content, const std::string& part) {
    check_refused(content, part, three());
  };
  CHECK(open_error(chunked(shape + text("chunks") + "\x81" + text("0") + chunk), three()).empty());
  refused(chunked(shape + text("chunks") + "\x81" + text("1") + chunk), "number 0 is missing");
  refused(chunked(shape + text("chunks") + "\x81" + text("0") + "\x01"), "tensor w: a chunk is not an array");
  refused(chunked(shape + text("colour") + "\x81" + text("0") + chunk),
          "its map is not one of shape and chunks");
  refused(chunked(shape + text("chunks") + "\x82" + text("0") + chunk + text("1") + chunk),
          "tensor w: float32[3] needs 12 bytes, the file has 24");
  refused(chunked(text("shape") + "\x81" + text("0") + "\xc0"), "a dimension is not a number");
}

TEST_CASE("flax: deep nesting and long names cost nothing") {
  std::string deep;
  for (int i = 0; i < 1000000; ++i) deep += "\x81\xa1w";
  check_refused(deep, "it is nested more than 64 levels deep");
  std::string lists = "\x81\xa1w" + std::string(1000000, '\x91');
  check_refused(lists, "it is nested more than 64 levels deep");
  check_refused("\x81\xa1w\x81\xda\x20\x20" + std::string(8224, 'x') + "\x01", "has 8226 bytes");
}

TEST_CASE("flax: fuzz") {
  fuzz(read_text(fixture("variables.msgpack")), weights_only(flax_weights()));
  fuzz(read_text(fixture("chunked.msgpack")), weights_only(flax_weights()));
}

// ---- names

TEST_CASE("names: levels may be written with slashes, exact names win") {
  auto three_as = [](const std::string& name) {
    return ZipEntry{name + ".npy", npy("<f4", "(3,)", raw(std::vector<float>{1, 2, 3}))};
  };
  Graph graph = weights_only({{"a.b", {{3}, Role::bias}}});
  for (const char* name : {"a.b", "a/b", "a/b:0", "a.b:0"})
    CHECK(open_error(zip({three_as(name)}), graph).empty());
  ScratchDirectory directory;
  ZipEntry exact{"a.b.npy", npy("<f4", "(3,)", raw(std::vector<float>{4, 5, 6}))};
  for (const auto& entries : {std::vector{three_as("a/b"), exact}, std::vector{exact, three_as("a/b")}}) {
    check_refused(zip(entries), "a/b", graph);
    Graph both = weights_only({{"a.b", {{3}, Role::bias}}, {"a/b", {{3}, Role::bias}}});
    write_text(directory.file("w"), zip(entries));
    auto store = open_weights(directory.file("w"), both);
    REQUIRE(store);
    CHECK(to_floats(*(*store)->find("a.b")) == std::vector<float>{4, 5, 6});
    CHECK(to_floats(*(*store)->find("a/b")) == std::vector<float>{1, 2, 3});
  }
  CHECK(open_error(safetensors(R"({"a/b":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", kThree), graph)
            .empty());
}

TEST_CASE("names: what all begin with is dropped if the network does not have it") {
  const auto entry = [](const std::string& name) {
    return ZipEntry{name + ".npy", npy("<f4", "(3,)", raw(std::vector<float>{1, 2, 3}))};
  };
  const Weight three{{3}, Role::bias};
  const Graph graph = weights_only({{"net.a", three}, {"net.b", three}});
  for (const std::string prefix : {"", "module.", "model.module.", "module/"})
    CHECK(open_error(zip({entry(prefix + "net.a"), entry(prefix + "net.b")}), graph).empty());
  CHECK(open_error(zip({entry("module.net.a"), entry("net.b")}), graph).find("net.a, expected") !=
        std::string::npos);
  CHECK(open_error(zip({entry("mod.net.a"), entry("mod2.net.b")}), graph).find("missing") !=
        std::string::npos);
  CHECK(open_error(zip({entry("module.net.a")}), graph).find("net.b, expected") != std::string::npos);
}

TEST_CASE("names: weights that one layer keeps and two layers want") {
  auto entry = [](const std::string& name) {
    return ZipEntry{name + ".npy", npy("<f4", "(3,)", raw(std::vector<float>{1, 2, 3}))};
  };
  Weight three_elements{{3}, Role::bias};
  CHECK(open_error(zip({entry("dw/depthwise_kernel:0")}), weights_only({{"dw.kernel", three_elements}}))
            .empty());
  CHECK(open_error(zip({entry("s/depthwise_kernel"), entry("s/pointwise_kernel"), entry("s/bias")}),
                   weights_only({{"s.depthwise.kernel", three_elements},
                                 {"s.pointwise.kernel", three_elements},
                                 {"s.pointwise.bias", three_elements}}))
            .empty());
}

}  // namespace cardinal
