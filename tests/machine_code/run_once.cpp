// Runs a compiled network once, for tools that count what it executes.
#include <cardinal/cardinal.h>

#include <cstdio>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: run_once NET.so\n"), 1;
  auto model = cardinal::Model::load(argv[1]);
  if (!model) return std::fprintf(stderr, "%s\n", model.error().message().c_str()), 1;
  auto session = cardinal::Session::create(*model);
  if (!session) return std::fprintf(stderr, "%s\n", session.error().message().c_str()), 1;
  std::vector<float> image(model->inputs()[0].elements, 0.5f), result(model->outputs()[0].elements);
  if (auto done = session->run(image, result); !done) return 1;
  return 0;
}
