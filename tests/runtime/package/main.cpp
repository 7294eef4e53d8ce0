// Runs the network linked into the program and the same one loaded from a shared object.
#include <cardinal/cardinal.h>

#include <cstddef>
#include <iostream>
#include <vector>

#include "tiny.h"

int main() {
  std::vector<float> image(tiny::inputs::image::elements), linked(5), loaded(5);
  for (size_t i = 0; i < image.size(); ++i) image[i] = static_cast<float>(i % 17) / 17;
  static_assert(tiny::outputs::logits::shape[1] == 5);
  alignas(tiny::workspace_alignment) static std::byte workspace[tiny::workspace_bytes];
  tiny::run(image.data(), linked.data(), workspace);

  auto model = cardinal::Model::load(CARDINAL_TINY_LOADED_PATH, {.expected_model_hash = tiny::model_hash});
  if (!model) return std::cerr << model.error().message() << '\n', 1;
  auto session = cardinal::Session::create(*model);
  if (!session) return std::cerr << session.error().message() << '\n', 1;
  if (auto done = session->run(image, loaded); !done) return std::cerr << done.error().message() << '\n', 1;
  std::cout << (tiny::matches_linked_object() && linked == loaded ? "same\n" : "different\n");
}
