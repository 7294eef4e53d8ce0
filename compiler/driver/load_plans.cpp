#include "compiler/driver/load_plans.h"

#include <fmt/format.h>

#include "codegen/codegen.h"
#include "codegen/temporary_directory.h"
#include "passes/planner.h"

namespace cardinal::driver {

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
  const NetworkImage image{.symbol = graph.name,
                           .weights_file = {},
                           .weights = pack_weights(graph, plans, weights),
                           .assembler = {}};
  Result<std::string> object = emit_code(graph, plans, image, CodeKind::object);
  if (!object) return object.take_error();
  const TemporaryDirectory directory;
  if (Status made = directory.made(); !made) return made.take_error();
  const std::string path = directory.file("network.so");
  if (Status linked = link_shared(object_file(*object, image), image.symbol, path); !linked)
    return linked.take_error();
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
