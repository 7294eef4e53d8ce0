// Hand-built steps over views of one memory: compiled together, run one by one, and compared with a reference
// element by element. Whatever a step has no business writing must stay as it was.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "passes/plan.h"

namespace cardinal::testing {

// The value of output element (n, c, h, w), from the contents of memory before the step.
using Reference = std::function<double(int64_t n, int64_t c, int64_t h, int64_t w)>;

class StepBatch {
 public:
  explicit StepBatch(Target target);
  const Target& target() const { return plan_.target; }

  // A view of fresh memory with random contents in [-2, 2).
  View place(const Shape&, Layout);
  // Constants of one value a channel, packed as kernels expect them.
  PackedWeight place_constants(const std::vector<float>& values);
  // The element of a view before any step has run.
  double at(const View&, int64_t n, int64_t c, int64_t h, int64_t w) const;
  Tensor read(const View&) const;  // all of them

  // `zero_lanes` channels after the last must become 0. Units are done in strips of one length or another.
  void add(Step step, Reference reference, double tolerance = 0, int64_t zero_lanes = 0);

  // The same for steps that run one after the other; the reference is of the last one's output. What they
  // write must have been placed since the step or chain before.
  void add_chain(std::vector<Step> steps, Reference reference, double tolerance);

  // Compiles all steps into one network and checks each, or chain, its units taken all at once, one by one,
  // and seven at a time, which must give the same bits. Returns what is wrong, or "". `results` gets the
  // elements of each one's output.
  std::string check(std::vector<std::vector<float>>* results = nullptr) const;

 private:
  struct Case {
    size_t first, last;  // steps
    Reference reference;
    double tolerance;
    int64_t zero_lanes;
    size_t begin, end;  // of its part of the memory: what was placed since the case before
  };
  // `after`: what is in the case's part of the memory.
  std::vector<float> output_of(const Case&, const std::vector<float>& after) const;
  std::string check_case(const Case&, const std::vector<float>& after) const;
  // Takes back what steps wrote to their scratch, which depends on how units are shared out.
  void forget_scratch(const Case&, std::vector<float>& after) const;

  Plan plan_;
  std::vector<Case> cases_;
  std::vector<float> memory_, weights_;
};

// Shapes that kernels of all kinds are tried on: one pixel, partial and whole blocks, several images, rank 2.
std::vector<Shape> test_shapes();

}  // namespace cardinal::testing
