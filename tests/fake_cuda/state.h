// What the fake driver remembers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/fake_cuda/fake_cuda.h"
#include "tests/simt/simt.h"

namespace fake_cuda {

// CUresult, as far as the fake gives them.
enum Result {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kInvalidContext = 201,
  kNoBinary = 209,
  kInvalidPtx = 218,
  kInvalidHandle = 400,
  kNotFound = 500,
  kIllegalAddress = 700
};

struct Code {
  cardinal::simt::Module kernels;
};
struct Function {
  std::shared_ptr<Code> code;
  std::string name;
  int dynamic_shared_bytes = 48 << 10;
};
struct Module {
  std::shared_ptr<Code> code;
  std::vector<std::unique_ptr<Function>> functions;
};
struct Stream {
  std::vector<std::function<Result()>> work;
};
struct Event {
  bool done = false;
  uint64_t time = 0;
};
struct Launch {
  Function* function = nullptr;
  cardinal::simt::Dim3 grid, block;
  uint32_t shared_bytes = 0;
  std::vector<uint64_t> parameters;
};
struct GraphNode {
  Launch launch;
  GraphNode* after = nullptr;
};
struct Graph {
  std::vector<std::unique_ptr<GraphNode>> nodes;
};
struct GraphExec {
  std::map<GraphNode*, Launch> launches;
  std::vector<GraphNode*> order;
};

// All of the driver's functions hold the mutex.
struct State {
  std::recursive_mutex mutex;
  Settings settings;
  bool initialized = false;
  std::map<std::string, std::shared_ptr<Code>> registered;
  int contexts = 0;  // retained
  std::map<uint64_t, std::unique_ptr<unsigned char[]>> memory;
  std::map<uint64_t, size_t> sizes;
  std::set<std::unique_ptr<Module>> modules;
  std::set<std::unique_ptr<Stream>> streams;
  std::set<std::unique_ptr<Event>> events;
  std::set<std::unique_ptr<Graph>> graphs;
  std::set<std::unique_ptr<GraphExec>> executables;
  Stream default_stream;
  uint64_t clock = 0;
  std::vector<std::string> calls, kernels;
  std::optional<std::pair<size_t, int>> failure;
  Result sticky = kSuccess;  // of a kernel that failed: CUDA then refuses everything
  std::string kernel_error;
};
State& state();

// The bytes from `address` to the end of its allocation; 0 if it is in none.
size_t bytes_behind(uint64_t address);
Result run_kernel(const Launch&);
// Does what is queued.
Result finish(Stream&);
Result finish_all();

}  // namespace fake_cuda
