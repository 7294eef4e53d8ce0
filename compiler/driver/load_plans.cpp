#include "compiler/driver/load_plans.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <filesystem>

#include "codegen/codegen.h"
#include "passes/planner.h"

namespace cardinal::driver {

namespace {

// Removed with its contents.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::error_code ignored;
    std::string pattern = (std::filesystem::temp_directory_path(ignored) / "cardinal-XXXXXX").string();
    if (mkdtemp(pattern.data())) path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }  // "" if none could be made

 private:
  std::string path_;
};

}  // namespace

Result<LoadedPlans> load_plans(const Graph& graph, std::span<const Plan> plans, const WeightStore& weights) {
  const Target& least = plans.front().target;
  if (least.gpu)
    return Diagnostics(fmt::format(
        "this runs the code that it compiles on this CPU, layer by layer, which code for {} is not for; use "
        "--target "
        "native, and compare what `cardinal run` computes on the GPU with what it computes for native",
        least.cpu));
  if (least.required_features & ~cpu_features())
    return Diagnostics(fmt::format(
        "this runs the code that it compiles, and this machine cannot run code for {}", least.cpu));
  const NetworkImage image{
      .symbol = graph.name, .weights_file = {}, .weights = pack_weights(graph, plans, weights), .ptxas = {}};
  Result<std::string> object = emit_code(graph, plans, image, CodeKind::object);
  if (!object) return object.take_error();
  const TemporaryDirectory directory;
  if (directory.path().empty()) return Diagnostics("cannot make a temporary directory; is TMPDIR writable?");
  const std::string path = directory.path() + "/network.so";
  if (Status linked = link_shared(*object, image.symbol, path); !linked) return linked.take_error();
  LoadedPlans loaded;
  for (const Plan& plan : plans) {
    Expected<Model> model = Model::load(path, {.variant = plan.target.cpu});
    if (model)
      loaded.variants.push_back({plan, *std::move(model)});
    else
      loaded.refused.push_back(model.error().message());
  }
  if (loaded.variants.empty()) return Diagnostics(loaded.refused.front());
  return loaded;
}

}  // namespace cardinal::driver
