// What an op would have made if its call were right, so that checking goes on behind an error.
//
//   y = x |> conv(64, kernel=3, groups=5)     an error; y is f32[1, 64, 32, 32] whatever the groups should be
//   z = y |> conv(64, kernel=3, stride=true)  an error; z has 64 channels and some height and width
//   z + y                                     may be right, and is not reported
//   z |> linear(10)                           is wrong for every height and width, and is reported
//   w = y + x                                 an error; w is as y or as x, and what is wrong for both is
//                                             reported
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ir/convention.h"
#include "ir/op.h"

namespace cardinal {

// The type of a tensor, which may have another one instead, and which of its dimensions may be anything.
struct Likely {
  explicit Likely(const TensorType& sure) : type(sure), other(sure) {}
  TensorType type, other;
  bool any_channels = false;
  bool any_size = false;  // height and width
  bool is_sure() const { return type == other && !any_channels && !any_size; }
  bool has_sure_channels() const { return !any_channels && type.shape.c() == other.shape.c(); }
  bool has_sure_size() const;
};

// The op's result over operands of which not all are sure; nothing if it refuses every shape they may have.
std::optional<Likely> likely_result(const OpAttrs& op, std::span<const Likely> operands);

// The op's result after an error: with the wrong attributes put right, as the convention understands them,
// or, if that is not what is wrong, the shapes of its operands. Nothing if that makes no sense either.
std::optional<Likely> mended_result(const Convention& convention, const OpAttrs& op,
                                    std::span<const Likely> operands,
                                    std::span<const std::string_view> wrong_attributes);

}  // namespace cardinal
