// The table of conventions and what is derived from it.
#include "ir/convention.h"
#include "ir/weights.h"

#include <catch2/catch.hpp>

using namespace cardinal;

namespace {

const Convention& convention(std::string_view name) {
  const Convention* found = find_convention(name);
  REQUIRE(found);
  return *found;
}

template <class Op>
Op with_defaults(std::string_view name) {
  OpAttrs op = Op{};
  set_defaults(convention(name), op);
  return std::get<Op>(op);
}

}  // namespace

TEST_CASE("the default convention is what ops say of themselves") {
  CHECK(conventions().front().name == "pytorch");
  for (const OpInfo& info : op_table()) {
    INFO(info.name);
    OpAttrs op = make_op(info);
    set_defaults(conventions().front(), op);
    resolve_same_padding(conventions().front(), op);
    CHECK(op == make_op(info));
  }
  CHECK(weight_of(conventions().front(), {Role::kernel, {8, 4, 3, 3}}).stored == StoredOrder::as_written);
  CHECK(find_convention("torch") == nullptr);
}

TEST_CASE("defaults follow the convention") {
  CHECK(with_defaults<BatchNorm>("keras").eps == 1e-3);
  CHECK(with_defaults<LayerNorm>("flax").eps == 1e-6);
  CHECK(with_defaults<GroupNorm>("keras").eps == 1e-3);
  CHECK(with_defaults<InstanceNorm>("flax").eps == 1e-6);
  CHECK(with_defaults<InstanceNorm>("flax").complete());
  CHECK_FALSE(with_defaults<InstanceNorm>("pytorch").scale);
  CHECK(with_defaults<DepthToSpace>("keras").order == DepthOrder::dcr);
  CHECK(with_defaults<LeakyRelu>("keras").negative_slope == 0.3);
  CHECK(with_defaults<Gelu>("flax").approximate);
  CHECK_FALSE(with_defaults<AvgPool>("keras").count_include_pad);
  CHECK(with_defaults<Flatten>("keras").order == FlattenOrder::hwc);
  OpAttrs conv = Conv{}, mxnet = Conv{}, pool = MaxPool{};
  resolve_same_padding(convention("keras"), conv);
  resolve_same_padding(convention("mxnet"), mxnet);
  resolve_same_padding(convention("flax"), pool);
  CHECK(std::get<Conv>(conv).padding.mode == Padding::Mode::same_upper);
  CHECK(std::get<Conv>(mxnet).padding.mode == Padding::Mode::same);
  CHECK(std::get<MaxPool>(pool).padding == Padding{});
}

TEST_CASE("weights are named and stored as the framework does it") {
  const auto name = [](std::string_view framework, Role role) {
    return weight_name(convention(framework), "layer1.bn", {role, {8}});
  };
  CHECK(name("pytorch", Role::scale) == "layer1.bn.weight");
  CHECK(name("mxnet", Role::scale) == "layer1.bn.gamma");
  CHECK(name("keras", Role::variance) == "layer1.bn.moving_variance");
  CHECK(name("flax", Role::variance) == "batch_stats.layer1.bn.var");
  CHECK(weight_name(convention("flax"), "scale", {Role::scale, {8}, true}) == "params.scale");
  CHECK(weight_of(convention("keras"), {Role::kernel, {8, 4, 3, 3}}).stored == StoredOrder::hwio);
  CHECK(weight_of(convention("flax"), {Role::kernel, {8, 4}}).stored == StoredOrder::io);
  CHECK(weight_of(convention("flax"), {Role::kernel, {1, 1, 3}}).stored == StoredOrder::wio);
  CHECK(shape_in_file(weight_of(convention("flax"), {Role::kernel, {1, 1, 3}})) == Shape{3, 1, 1});
  CHECK(weight_of(convention("flax"), {Role::bias, {8}}).stored == StoredOrder::as_written);
}

TEST_CASE("a weight's name gives its layer back") {
  for (const Convention& c : conventions())
    for (size_t role = 0; role < kRoles; ++role) {
      const Role r = static_cast<Role>(role);
      CHECK(layer_of_weight(c, weight_name(c, "a.b", {r, {8}}), r) == "a.b");
    }
  CHECK_FALSE(layer_of_weight(convention("keras"), "kernel", Role::kernel));
  CHECK_FALSE(layer_of_weight(convention("keras"), ".kernel", Role::kernel));
  CHECK_FALSE(layer_of_weight(convention("keras"), "a.mykernel", Role::kernel));
  CHECK_FALSE(layer_of_weight(convention("flax"), "params.kernel", Role::kernel));
}
