// network_runner NET.so MEMORY: loads a network and does what standard input says, on a file of floats that
// it shares with whoever started it. Each line is answered by "done" or by a line that says what went wrong;
// so is loading, before the first.
//
//   steps FIRST LAST GRAIN   runs steps of the network, GRAIN units at a time, on the memory as workspace
//   run THREADS              runs a session; inputs are read from the start of the memory, outputs follow
//   them
#include <cardinal/cardinal.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

namespace {

using cardinal::Model;

std::span<float> map_memory(const char* path) {
  const int file = open(path, O_RDWR);
  struct stat status{};
  if (file < 0 || fstat(file, &status) != 0) return {};
  const auto bytes = static_cast<size_t>(status.st_size);
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) return {};
  return {static_cast<float*>(mapped), bytes / sizeof(float)};
}

std::string run_steps(const Model& model, std::span<float> memory, size_t first, size_t last, int64_t grain) {
  if (first > last || last >= model.steps().size() || grain < 1) return "there are no such steps";
  const cardinal_frame frame{nullptr, nullptr, model.weights(), memory.data()};
  for (const cardinal_step& step : model.steps().subspan(first, last + 1 - first))
    for (int64_t begin = 0; begin < step.units; begin += grain)
      step.task(&frame, begin, std::min(begin + grain, step.units));
  return "done";
}

std::string run(const Model& model, std::span<float> memory, int threads) {
  cardinal::ThreadPool pool(threads);
  auto session = cardinal::Session::create(model, pool.executor());
  if (!session) return session.error().message();
  std::vector<cardinal::InputBuffer> inputs;
  std::vector<cardinal::OutputBuffer> outputs;
  size_t used = 0;
  const auto next = [&](const cardinal::TensorInfo& tensor) {
    const size_t begin = std::min(used, memory.size());
    used += tensor.elements;
    return memory.subspan(begin, std::min<size_t>(tensor.elements, memory.size() - begin));
  };
  for (const cardinal::TensorInfo& tensor : model.inputs())
    inputs.emplace_back(std::span<const float>(next(tensor)));
  for (const cardinal::TensorInfo& tensor : model.outputs()) outputs.emplace_back(next(tensor));
  auto done = session->run(inputs, outputs);
  return done ? "done" : done.error().message();
}

std::string obey(const std::string& line, const Model& model, std::span<float> memory) {
  size_t first = 0, last = 0;
  int64_t grain = 0;
  int threads = 0;
  if (std::sscanf(line.c_str(), "steps %zu %zu %" SCNd64, &first, &last, &grain) == 3)
    return run_steps(model, memory, first, last, grain);
  if (std::sscanf(line.c_str(), "run %d", &threads) == 1) return run(model, memory, threads);
  return "cannot understand " + line;
}

void answer(const std::string& text) {
  std::puts(text.c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: network_runner NET.so MEMORY\n", stderr), 1;
  auto model = Model::load(argv[1]);
  const std::span<float> memory = map_memory(argv[2]);
  if (!model || memory.empty()) {
    answer(model ? std::string(argv[2]) + ": cannot be mapped" : model.error().message());
    return 1;
  }
  answer("done");
  char line[256];
  while (std::fgets(line, sizeof line, stdin)) answer(obey(line, *model, memory));
}
