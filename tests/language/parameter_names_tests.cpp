// Names and shapes of the example networks' weights against torchvision's state dicts, as recorded in
// parameters/ by `for k, v in model.state_dict().items(): print(k, list(v.shape))`, without
// num_batches_tracked.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/language/support.h"

using namespace cardinal;

namespace {

std::set<std::string> weights_of(const std::string& file, const std::string& network) {
  SourceMap sources;
  Result<Program> program = parse_program(sources, test::source_root() + "/examples/networks/" + file);
  REQUIRE(program);
  Result<Graph> graph = elaborate(*program, {network, {}});
  if (!graph) FAIL(graph.error().render(sources));
  std::set<std::string> lines;
  for (NodeId id : graph->weights())
    lines.insert((*graph)[id].name + " " + to_string((*graph)[id].type.shape));
  return lines;
}

}  // namespace

TEST_CASE("weights are named and shaped as in torchvision") {
  int networks = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(test::source_root() + "/tests/language/parameters")) {
    std::ifstream stream(entry.path());
    std::set<std::string> wanted;
    for (std::string line; std::getline(stream, line);) wanted.insert(line);
    INFO(entry.path());
    std::string network = entry.path().stem().string();
    CHECK(weights_of(network.starts_with("vgg") ? "vgg.nn" : "resnet.nn", network) == wanted);
    ++networks;
  }
  CHECK(networks >= 5);
}

TEST_CASE("every example network is right") {
  int networks = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::source_root() + "/examples/networks")) {
    if (entry.path().extension() != ".nn") continue;
    SourceMap sources;
    Diagnostics found = check_program(sources, entry.path().string());
    INFO(found.render(sources));
    CHECK(found.empty());
    ++networks;
  }
  CHECK(networks >= 10);
}
