// Weight files: safetensors, .npz, .npy, and what can be wrong with them.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <random>

#include "compiler/weights/npy.h"
#include "compiler/weights/npz.h"
#include "compiler/weights/open_weights.h"
#include "compiler/weights/safetensors.h"
#include "tests/runtime/scratch_directory.h"
#include "tests/weights/file_makers.h"
#include "tests/weights/opening.h"

namespace cardinal {

using namespace testing;

// ---- safetensors

TEST_CASE("safetensors: values are read where the header says") {
  ScratchDirectory directory;
  Graph graph = small_network();
  write_text(directory.file("w.safetensors"), counting_safetensors(graph));
  auto store = open_weights(directory.file("w.safetensors"), graph);
  REQUIRE(store);
  CHECK(to_floats(*(*store)->find("conv.weight")) == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK((*store)->find("conv.weight")->type.shape == Shape{3, 2, 1, 1});
  CHECK((*store)->describe() == directory.file("w.safetensors"));
}

TEST_CASE("safetensors: half precision is a view, other dtypes matter only if the network wants them") {
  ScratchDirectory directory;
  std::string header =
      R"({"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[],"data_offsets":[4,6]},)"
      R"("bn.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[6,14]}})";
  write_text(directory.file("w"),
             safetensors(header, raw(std::vector<uint16_t>{0x3c00, 0xc000, 0x4040}) + raw(int64_t{5})));
  auto file = MappedFile::open(directory.file("w"));
  REQUIRE(file);
  auto store = read_safetensors(directory.file("w"), *std::move(file), Wanted(Graph()));
  REQUIRE(store);
  CHECK(to_floats(*(*store)->find("h")) == std::vector<float>{1, -2});
  CHECK(to_floats(*(*store)->find("b")) == std::vector<float>{3});
  CHECK((*store)->find("bn.num_batches_tracked") == nullptr);
  CHECK((*store)->unusable("bn.num_batches_tracked") == "its dtype is I64, expected F32, F16, BF16 or F64");
  CHECK((*store)->names().size() == 3);
}

TEST_CASE("safetensors: a wrong dtype of a wanted weight is named, not called missing") {
  Graph graph = small_network();
  std::string content = counting_safetensors(graph);
  content.replace(content.find("\"F32\""), 5, "\"I32\"");
  std::string error = open_error(content, graph);
  CHECK(error.find("cannot be read") != std::string::npos);
  CHECK(error.find("its dtype is I32, expected F32, F16, BF16 or F64") != std::string::npos);
  CHECK(error.find("missing") == std::string::npos);
}

TEST_CASE("safetensors: malformed headers are refused") {
  auto one = [](const std::string& fields) { return safetensors("{\"w\":{" + fields + "}}", "12345678"); };
  check_refused("", "it has 0 bytes, expected at least 8");
  check_refused("1234567", "it has 7 bytes, expected at least 8");
  check_refused(raw(uint64_t{1} << 62) + "{}",
                "its header claims 4611686018427387904 bytes, the file has 2 after");
  check_refused(raw(uint64_t{3}) + "{}", "its header claims 3 bytes, the file has 2 after");
  check_refused(safetensors("{", ""), "not valid JSON at byte");
  check_refused(safetensors("[]", ""), "unexpected an array");
  check_refused(safetensors("7", ""), "unexpected the number 7");
  check_refused(safetensors(R"({"w":7})", ""), "unexpected the number 7");
  check_refused(safetensors("{\"\xff\":{}}", ""), "not valid JSON");
  check_refused(one(R"("dtype":"F32","shape":[2])"), "tensor w: dtype, shape and data_offsets are needed");
  check_refused(one(R"("dtype":"F32","dtype":"F32")"), "unexpected key \"dtype\"");
  check_refused(one(R"("colour":"F32")"), "unexpected key \"colour\"");
  check_refused(one(R"("dtype":["F32"])"), "unexpected an array");
  check_refused(one(R"("shape":[[2]])"), "unexpected an array");
  check_refused(one(R"("shape":[-2])"), "unexpected the number -2");
  check_refused(one(R"("shape":[1e99])"), "unexpected the number 1e99");
  check_refused(one(R"("shape":[99999999999999999999])"), "unexpected the number 99999999999999999999");
  check_refused(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,16])"), "is the file truncated?");
  check_refused(one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "do not lie in the 8 bytes");
  check_refused(one(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "do not lie in the 8 bytes");
  check_refused(one(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), "the tensor before it ends at 0");
  check_refused(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"),
                "end at byte 4 of the data, the file has 8");
  check_refused(one(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"),
                "f32[3] needs 12 bytes, its data_offsets span 8");
  check_refused(safetensors(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                            R"("v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                            "12345678"),
                "the tensor before it ends at 4");
  check_refused(safetensors(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                            R"("w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                            "12345678"),
                "tensor w appears twice");
}

TEST_CASE("safetensors: shapes that overflow are refused") {
  auto shaped = [](const std::string& dims) {
    return safetensors(R"({"conv.bias":{"dtype":"F32","shape":[)" + dims + R"(],"data_offsets":[0,8]}})",
                       "12345678");
  };
  check_refused(shaped("18446744073709551615,2"), "it has a dimension of 18446744073709551615");
  check_refused(shaped("16777216,16777216,16777216"), "elements or more, expected at most");
  check_refused(shaped("1,1,1,1,1,1,2"), "it has rank 7, expected at most 6");
}

TEST_CASE("safetensors: deep nesting and long names cost nothing") {
  check_refused(safetensors("{\"w\":" + std::string(5'000'000, '['), ""), "unexpected an array");
  check_refused(safetensors("{\"w\":{\"shape\":[" + std::string(2'000'000, '1'), ""), "not valid JSON");
  check_refused(safetensors("{\"" + std::string(1'000'000, 'x') + "\":{}}", ""),
                "a tensor's name has 1000000 bytes");
  check_refused(safetensors("{\"\\u001b[2J\":{}}", ""), "unprintable");
}

TEST_CASE("safetensors: fuzz") { fuzz(counting_safetensors(small_network())); }

// ---- .npz

TEST_CASE("npz: stored and deflated archives are read") {
  Graph graph = small_network();
  for (bool deflate : {false, true}) {
    ScratchDirectory directory;
    write_text(directory.file("w.npz"), counting_npz(graph, deflate));
    auto store = open_weights(directory.file("w.npz"), graph);
    REQUIRE(store);
    CHECK(to_floats(*(*store)->find("conv.weight")) == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(to_floats(*(*store)->find("bn.bias")) == std::vector<float>{1, 2, 3});
  }
}

namespace {

// The conv.weight of an archive whose other weights are right.
std::vector<float> conv_weight(ZipEntry entry) {
  Graph graph = small_network();
  std::vector<ZipEntry> entries{entry};
  entries[0].name = "conv.weight.npy";
  for (NodeId id : graph.weights())
    if (graph[id].name != "conv.weight")
      entries.push_back({graph[id].name + ".npy", npy("<f4", "(3,)", raw(std::vector<float>{1, 2, 3}))});
  ScratchDirectory directory;
  write_text(directory.file("w"), zip(entries));
  auto store = open_weights(directory.file("w"), graph);
  if (!store) FAIL_CHECK(store.error().render(SourceMap()));
  return store ? to_floats(*(*store)->find("conv.weight")) : std::vector<float>{};
}

}  // namespace

TEST_CASE("npz: other element types, orders and container forms") {
  std::vector<float> expected{1, 2, 3, 4, 5, 6};
  std::string data = raw(expected);
  CHECK(conv_weight({"", npy("<f8", "(3, 2, 1, 1)", raw(std::vector<double>{1, 2, 3, 4, 5, 6}))}) ==
        expected);
  CHECK(conv_weight({"", npy("<f2", "(3, 2, 1, 1)",
                             raw(std::vector<uint16_t>{0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600}))}) ==
        expected);
  CHECK(conv_weight({"", npy("<f4", "(3, 2, 1, 1)", raw(std::vector<float>{1, 3, 5, 2, 4, 6}), true)}) ==
        expected);
  for (int version : {2, 3})
    CHECK(conv_weight({"", npy("<f4", "(3, 2, 1, 1)", data, false, version)}) == expected);
  CHECK(conv_weight({.content = npy("<f4", "(3, 2, 1, 1)", data), .zip64 = true}) == expected);
}

TEST_CASE("npz: broken archives are refused") {
  std::string right = npy("<f4", "(3,)", raw(std::vector<float>{1, 2, 3}));
  check_refused("PK\3\4", "it has no zip directory");
  check_refused(zip({{.name = "a.npy", .content = right, .flags = 1}}), "a.npy is encrypted");
  check_refused(zip({{.name = "a.txt", .content = "hello"}}), "member a.txt is not NAME.npy");
  check_refused(zip({{.name = "a.npy", .content = "hello"}}), "it does not begin as a .npy file does");
  check_refused(zip({{.name = "a.npy", .content = right}, {.name = "a.npy", .content = right}}),
                "a.npy appears twice");
  check_refused(zip({{.name = "conv.bias.npy", .content = npy("<f4", "(3,)", "1234")}}), "f32[3] needs");
  check_refused(zip({{.name = "conv.bias.npy", .content = npy(">f4", "(3,)", "123456789012")}}),
                "its dtype is '>f4'");
  check_refused(zip({{.name = "conv.bias.npy", .content = npy("<f4", "(99999999999,)", "")}}),
                "a dimension of");
  std::string damaged = zip({{.name = "conv.bias.npy", .content = right}});
  damaged[damaged.find(right) + right.size() - 2] ^= 1;
  check_refused(damaged, "has the wrong checksum");
}

TEST_CASE("npz: an archive cannot ask for more memory than the network") {
  // A terabyte claimed; and a weight of the right size, but in a member that claims to be far larger.
  std::string header = npy("<f4", "(3,)", raw(std::vector<float>{1, 2, 3}));
  check_refused(zip({{.name = "conv.bias.npy",
                      .content = header,
                      .deflate = true,
                      .zip64 = true,
                      .claimed_bytes = uint64_t{1} << 40}}),
                "does not unpack to the 1099511627776 bytes that it claims");
  std::string bomb = npy("<f4", "(16777216, 4)", std::string(1 << 22, '\0'));
  check_refused(zip({{.name = "extra.npy", .content = bomb, .deflate = true}}), "the network does not have");
  check_refused(zip({{.name = "conv.bias.npy", .content = bomb, .deflate = true}}),
                "conv.bias has shape [16777216, 4], expected [3]");
}

TEST_CASE("npz: fuzz, stored") { fuzz(counting_npz(small_network(), false)); }
TEST_CASE("npz: fuzz, deflated") { fuzz(counting_npz(small_network(), true)); }

// ---- .npy

namespace {

Result<NpyArray> read_npy_text(const std::string& content) {
  ScratchDirectory directory;
  write_text(directory.file("x.npy"), content);
  return read_npy(directory.file("x.npy"));
}

std::string npy_error(const std::string& content) {
  Result<NpyArray> array = read_npy_text(content);
  return array ? "accepted" : array.error().render(SourceMap());
}

}  // namespace

TEST_CASE("npy: what is written is read back") {
  for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 3}, Shape{1, 2, 3, 4}}) {
    std::string header = npy_header("<f4", shape);
    CHECK(header.size() % 64 == 0);
    std::vector<float> values(static_cast<size_t>(shape.elements()), 1.5f);
    Result<NpyArray> array = read_npy_text(header + raw(values));
    REQUIRE(array);
    CHECK(array->type == TensorType{DType::f32, shape});
    CHECK(to_floats({array->type, array->bytes}) == values);
  }
}

TEST_CASE("npy: column-major arrays are turned") {
  Result<NpyArray> array =
      read_npy_text(npy("<f4", "(2, 3)", raw(std::vector<float>{1, 4, 2, 5, 3, 6}), true));
  REQUIRE(array);
  CHECK(to_floats({array->type, array->bytes}) == std::vector<float>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("npy: malformed files are refused") {
  auto contains = [](const std::string& text, const std::string& part) {
    UNSCOPED_INFO(text);
    return text.find(part) != std::string::npos;
  };
  CHECK(contains(npy_error(""), "it does not begin as a .npy file does"));
  CHECK(contains(npy_error(npy("<f4", "(3,)", "12345678")), "f32[3] needs 12 bytes, the file has 8"));
  CHECK(contains(npy_error(npy("<f8", "(1,)", "12345678")), "its dtype is '<f8', expected '<f4' or '<f2'"));
  CHECK(
      contains(npy_error(npy("<f4", "(1,)", "1234", false, 9)), "it has .npy version 9, expected 1, 2 or 3"));
  CHECK(contains(npy_error(npy("<f4", "(-1,)", "1234")), "is not a dictionary"));
  CHECK(contains(npy_error(npy("<f4", "(1 1)", "1234")), "is not a dictionary"));
  CHECK(contains(npy_error(npy("<f4", "(99999999999999999999999,)", "1234")), "is not a dictionary"));
  CHECK(contains(npy_error(npy("<f4", "(8388608, 8388608)", "1234")), "elements or more"));
  CHECK(contains(npy_error(npy("<f4', 'descr': '<f4", "(1,)", "1234")), "is not a dictionary"));
  CHECK(contains(npy_error("\x93NUMPY\x01" + std::string(1, '\0') + "\xff\xff{}"),
                 "its .npy header claims 65535"));
  CHECK(contains(npy_error(npy("<f4", std::string(20000, '('), "1234")), "its .npy header claims"));
}

TEST_CASE("npy: fuzz") {
  std::mt19937_64 random(7);
  MemoryFile file;
  auto read = [&file](const std::string& bytes) {
    file.write(bytes);
    return read_npy(file.path());
  };
  std::string content = npy_header("<f4", {2, 3}) + raw(std::vector<float>(6));
  for (size_t size = 0; size < content.size(); ++size) CHECK_FALSE(read(content.substr(0, size)));
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = content;
    bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    Result<NpyArray> array = read(bytes);
    if (array)
      CHECK(array->bytes.size() ==
            static_cast<size_t>(array->type.shape.elements() * dtype_bytes(array->type.dtype)));
  }
}

// ---- --weights

TEST_CASE("weights from a seed") {
  Graph graph = small_network();
  CHECK(open_weights("random:18446744073709551615", graph));
  for (const char* wrong : {"random:", "random:x", "random:-1", "random:1x", "random:18446744073709551616"})
    CHECK_FALSE(open_weights(wrong, graph));
  Graph huge;
  huge.add(Weight{{kMaxDim, 512}, Role::kernel}, {}, "w");
  auto refused = open_weights("random:1", huge);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().list().front().message.find("34.4 GB, the limit is 17.2 GB") != std::string::npos);
}

TEST_CASE("what is no weight file is refused") {
  Graph graph = small_network();
  ScratchDirectory directory;
  auto error = [&](const std::string& path) {
    auto store = open_weights(path, graph);
    return store ? "accepted" : store.error().list().front().message;
  };
  CHECK(error(directory.file("none")) ==
        fmt::format("cannot read {}: No such file or directory", directory.file("none")));
  CHECK(error(directory.path()) == fmt::format("cannot read {}: it is a directory", directory.path()));
  CHECK(error("/dev/zero") == "cannot read /dev/zero: it is not a regular file");
  const auto refuses = [&](const std::string& name, const std::string& content, const std::string& why) {
    write_text(directory.file(name), content);
    INFO(error(directory.file(name)));
    CHECK(error(directory.file(name)).find(why) != std::string::npos);
  };
  const std::string pickle = "is a Python pickle, as torch.save writes it";
  refuses("w.pth", "PK\3\4", pickle);
  refuses("w.bin", zip({{"w/data.pkl", "x"}, {"w/data/0", "y"}}), pickle);
  refuses("w.pkl", "\x80\4whatever", pickle);
  refuses("w.npy", npy("<f4", "(3,)", raw(std::vector<float>{1, 2, 3})), "is one array without a name");
  refuses("w.tflite", std::string("\x1c\0\0\0TFL3....", 12), "is a TensorFlow Lite model");
  refuses("w.onnx", "\x08\x07", "is an ONNX model; `cardinal import`");
  refuses("w.txt", "conv.weight 1 2 3 4", "if it is no safetensors file: .npz, .params, .msgpack");
}

TEST_CASE("safetensors: F64 is rounded, if the network wants it") {
  Graph graph = weights_only({{"a", {{2}, Role::bias}}});
  ScratchDirectory directory;
  write_text(directory.file("w"), safetensors(R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}})",
                                              raw(std::vector<double>{0.1, -2})));
  auto store = open_weights(directory.file("w"), graph);
  REQUIRE(store);
  CHECK(to_floats(*(*store)->find("a")) == std::vector<float>{0.1f, -2});
}

}  // namespace cardinal
