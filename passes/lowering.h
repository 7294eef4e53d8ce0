// What lowering shares, whatever the op: steps on their way into a plan, and where they read and write.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "passes/buffers.h"

namespace cardinal {

// What a step asks of the views it reads.
// whole_blocks: vector channels, and all 16 lanes of the last block can be read.
enum class Access : uint8_t { any, vector_channels, whole_blocks };

class Lowering {
 public:
  // Values live in the workspace in `format`.
  Lowering(const Graph& graph, const Target& target, const Format& format, Placement placement);

  const Graph& graph() const { return graph_; }
  const Target& target() const { return target_; }
  const Format& format() const { return format_; }
  const Node& node(NodeId id) const { return graph_[id]; }
  const Location& at(NodeId id) const { return placement_.values[index(id)]; }

  // A step that makes the node's value from nothing yet.
  DraftStep new_step(NodeId, Kernel) const;
  // Appends the step, whose time is predicted from its traffic unless it is set.
  void finish_step(DraftStep);
  Plan take_plan() { return assign_buffers(std::move(drafts_), std::move(placement_)); }

  // Where `id` can be read with this access: its own place, or a copy in blocks.
  Location readable(NodeId id, Access access);
  // A copy in the workspace's format, made when first asked for.
  Location blocked(NodeId id);
  // Room in the workspace for a tensor that is no node's value.
  Location new_value(const View&);
  void read(DraftStep&, NodeId, Access);
  static void read(DraftStep&, const Location& source);
  // Makes the step's result an intermediate one, in `target`.
  static void write_intermediate(DraftStep&, const Location& target, std::string_view suffix);

  // Whether anything asks for the mean of the node's images, and where the sums of their rows are, [N, C, h,
  // 1], if they are computed with them.
  bool is_averaged(NodeId id) const { return averaged_[index(id)]; }
  const std::optional<Location>& row_sums(NodeId id) const { return row_sums_[index(id)]; }
  void place_row_sums(NodeId);

  // Room that the step has to itself, the same for all steps that want some: so it stays in the caches.
  void use_scratch(DraftStep&, const View&);

  // The operands of an epilogue, the last of the node's.
  void read_epilogue(DraftStep&, NodeId, const Epilogue&);
  // A view that repeats itself along the dimensions in which only the result is longer than 1.
  void read_broadcast(DraftStep&, NodeId, const Shape& result);
  // All weights of a node that has one value a channel in each.
  void read_channel_constants(DraftStep&, NodeId) const;

  void reorder(const Location& source, const Location& target, NodeId produces, std::string name);
  void copy_unless_there(const Location& source, const Location& target, NodeId produces, std::string name);

 private:
  const Graph& graph_;
  const Target& target_;
  Format format_;
  Placement placement_;
  std::vector<Location> blocked_;                  // by NodeId: copies of the caller's tensors in blocks
  std::vector<bool> averaged_;                     // by NodeId
  std::vector<std::optional<Location>> row_sums_;  // by NodeId
  std::vector<DraftStep> drafts_;
  std::optional<int> scratch_;
};

}  // namespace cardinal
