// The translation unit of a network: its kernels, a task for every step, NET_run, NET_variant and the
// NET_cardinal_model table; all but the last three once for each variant.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <memory>

#include <llvm/IR/DiagnosticHandler.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>

#include "codegen/cpu/kernels.h"
#include "codegen/cpu/window.h"
#include "codegen/describe.h"
#include "codegen/llvm_target.h"
#include "codegen/model_table.h"
#include "codegen/nvptx/module.h"
#include "codegen/variant_choice.h"
#include "codegen/weights_section.h"
#include "ir/internal_error.h"

namespace cardinal {

namespace {

// Under this much predicted work (about what waking a pool's threads costs) a step stays on the calling
// thread.
constexpr double kTinyStepMicroseconds = 2;

// ---- tasks

// Members of cardinal_frame, in order; all are pointers but the last.
enum class FrameMember : unsigned { inputs, outputs, weights, workspace, image };

llvm::Value* load_member(Emitter& e, llvm::Value* frame, FrameMember member) {
  return e.builder.CreateLoad(e.ptr,
                              e.builder.CreateConstGEP1_64(e.ptr, frame, static_cast<unsigned>(member)));
}

llvm::Value* view_base(Emitter& e, llvm::Value* frame, const View& view) {
  llvm::Value* base = nullptr;
  if (view.space == Space::workspace) {
    base = load_member(e, frame, FrameMember::workspace);
  } else {
    const bool input = view.space == Space::input;
    llvm::Value* list = load_member(e, frame, input ? FrameMember::inputs : FrameMember::outputs);
    base = e.builder.CreateLoad(e.ptr,
                                e.builder.CreateConstGEP1_64(e.ptr, list, static_cast<uint64_t>(view.index)));
  }
  if (view.stride_image == 0) return e.element(base, view.offset);
  llvm::Value* at = e.builder.CreateConstGEP1_64(e.ptr, frame, static_cast<unsigned>(FrameMember::image));
  llvm::Value* image = e.builder.CreateLoad(e.i64, at);
  return e.element(base, e.add(e.mul(image, view.stride_image), view.offset));
}

// The weights that whoever computes units from `begin` on of a step needs first in the next one that fetches
// weights. After the last such step comes the first.
llvm::Value* next_weights(Emitter& e, const Plan& plan, size_t step, llvm::Value* weights,
                          llvm::Value* begin) {
  size_t next = step;
  do {
    next = (next + 1) % plan.steps.size();
  } while (!fetched_floats(plan.steps[next]));
  const Step& to = plan.steps[next];
  llvm::Value* position = e.div(e.mul(begin, to.units), plan.steps[step].units);
  llvm::Value* channel = Strips(e, to).channel_at(position);
  return e.element(weights, e.add(to.weights[0].offset, e.mul(channel, fetched_floats(to))));
}

// A cardinal_task: finds the step's buffers in the frame and calls its kernel.
llvm::Function* emit_task(Emitter& e, const Plan& plan, size_t index, llvm::Function* kernel,
                          llvm::StringRef name) {
  const Step& step = plan.steps[index];
  llvm::Function* task = e.begin_function(name, {e.ptr, e.i64, e.i64});
  llvm::Value* frame = task->getArg(0);
  Values arguments{view_base(e, frame, step.output)};
  if (step.second_output) arguments.push_back(view_base(e, frame, *step.second_output));
  for (const View& view : step.inputs) arguments.push_back(view_base(e, frame, view));
  llvm::Value* weights = step.weights.empty() ? nullptr : load_member(e, frame, FrameMember::weights);
  for (const PackedWeight& weight : step.weights) arguments.push_back(e.element(weights, weight.offset));
  if (step.scratch) arguments.push_back(view_base(e, frame, *step.scratch));
  if (fetched_floats(step)) arguments.push_back(next_weights(e, plan, index, weights, task->getArg(1)));
  arguments.append({task->getArg(1), task->getArg(2)});
  e.builder.CreateCall(kernel, arguments);
  e.end_function();
  return task;
}

// Steps that are the same but for the places of their buffers share a kernel. Names begin with `prefix`.
std::vector<llvm::Function*> emit_tasks(Emitter& e, const Plan& plan, const std::string& prefix) {
  std::map<std::string, llvm::Function*> kernels;
  std::vector<llvm::Function*> tasks;
  for (const Step& step : plan.steps) {
    llvm::Function*& kernel = kernels[kernel_key(step)];
    if (!kernel) {
      kernel = emit_kernel(e, step,
                           fmt::format("{}kernel_{}_{}", prefix, kernels.size(), kernel_name(step.kernel)));
      kernel->setAlignment(llvm::Align(64));  // a cache line
    }
    tasks.push_back(emit_task(e, plan, tasks.size(), kernel, fmt::format("{}step_{}", prefix, tasks.size())));
  }
  return tasks;
}

// ---- run

using Tasks = llvm::ArrayRef<llvm::Function*>;
using CallStep = llvm::function_ref<void(size_t step, llvm::Value* frame)>;

// Calls the steps in order, with a frame for each image of those that are repeated.
void call_steps(Emitter& e, const Plan& plan, llvm::Value* frame, CallStep call) {
  const size_t repeated = repeated_steps(plan);
  if (repeated) {
    llvm::Type* type = llvm::StructType::get(e.ptr, e.ptr, e.ptr, e.ptr, e.i64);
    llvm::Value* of_image = e.builder.CreateAlloca(type);
    e.builder.CreateStore(e.builder.CreateLoad(type, frame), of_image);
    e.for_range(0, plan.steps[0].repeats, 1, [&](llvm::Value* image) {
      e.builder.CreateStore(
          image, e.builder.CreateStructGEP(type, of_image, static_cast<unsigned>(FrameMember::image)));
      for (size_t i = 0; i < repeated; ++i) call(i, of_image);
    });
  }
  for (size_t i = repeated; i < plan.steps.size(); ++i) call(i, frame);
}

void call_on_this_thread(Emitter& e, const Plan& plan, Tasks tasks, llvm::Value* frame) {
  call_steps(e, plan, frame, [&](size_t i, llvm::Value* of_step) {
    e.builder.CreateCall(tasks[i], {of_step, e.integer(0), e.integer(plan.steps[i].units)});
  });
}

void call_by_executor(Emitter& e, const Plan& plan, Tasks tasks, llvm::Value* frame, llvm::Value* executor) {
  // cardinal_executor: the context, then parallel_for.
  llvm::Value* context = e.builder.CreateLoad(e.ptr, executor);
  llvm::Value* parallel_for = e.builder.CreateLoad(e.ptr, e.builder.CreateConstGEP1_64(e.ptr, executor, 1));
  auto* type = llvm::FunctionType::get(e.builder.getVoidTy(), {e.ptr, e.i64, e.i64, e.ptr, e.ptr}, false);
  call_steps(e, plan, frame, [&](size_t i, llvm::Value* of_step) {
    llvm::Value* units = e.integer(plan.steps[i].units);
    if (plan.steps[i].units <= 1 || plan.steps[i].predicted_us < kTinyStepMicroseconds)
      e.builder.CreateCall(tasks[i], {of_step, e.integer(0), units});
    else
      e.builder.CreateCall(type, parallel_for,
                           {context, units, e.integer(plan.steps[i].grain), tasks[i], of_step});
  });
}

// void run(const cardinal_frame*, const cardinal_executor*)
llvm::Function* emit_run(Emitter& e, const Plan& plan, Tasks tasks, llvm::StringRef name) {
  llvm::Function* run = e.begin_function(name, {e.ptr, e.ptr});
  llvm::Value *frame = run->getArg(0), *executor = run->getArg(1);
  e.if_else(
      e.builder.CreateIsNull(executor), [&] { call_on_this_thread(e, plan, tasks, frame); },
      [&] { call_by_executor(e, plan, tasks, frame, executor); });
  e.end_function();
  return run;
}

// ---- variants

VariantCode emit_variant(llvm::Module& module, const Plan& plan, const std::string& prefix,
                         const std::string& run_name) {
  Emitter e(module, plan.target);
  const size_t before = module.size();
  VariantCode code;
  code.tasks = emit_tasks(e, plan, prefix);
  code.run = emit_run(e, plan, code.tasks, run_name);
  code.first = &*std::next(module.begin(), static_cast<ptrdiff_t>(before));
  return code;
}

// A single variant's run is NET_run; several have a NET_run that chooses.
void emit_variants(llvm::Module& module, std::span<const Plan> plans, const cardinal_model& description,
                   const NetworkImage& image, bool with_weights) {
  const bool several = plans.size() > 1;
  std::vector<VariantCode> codes;
  for (const Plan& plan : plans) {
    const std::string prefix = several ? plan.target.cpu + "." : "";
    codes.push_back(emit_variant(module, plan, prefix, several ? prefix + "run" : image.symbol + "_run"));
  }
  const Target any = any_cpu(plans.front().target);
  llvm::Function* cpu_features = emit_cpu_features(module, any);
  for (size_t i = 0; i < codes.size(); ++i)
    codes[i].end = i + 1 < codes.size() ? codes[i + 1].first : cpu_features;
  const std::vector<llvm::GlobalVariable*> tables =
      emit_model_tables(module, description, image, codes, with_weights);
  std::vector<Variant> variants;
  for (size_t i = 0; i < plans.size(); ++i)
    variants.push_back({tables[i], plans[i].target.required_features});
  llvm::Function* choice = emit_variant_choice(module, any, variants, cpu_features, image.symbol);
  if (several)
    emit_dispatch(module, any, variants.front(), choice, image.symbol);
  else
    codes.front().run->setLinkage(llvm::GlobalValue::ExternalLinkage);
}

// ---- from LLVM IR to what was asked for

Diagnostics our_fault(std::string_view what) { return Diagnostics(fmt::format("internal error: {}", what)); }

// What LLVM complains about while generating code, instead of ending the process.
struct CollectingHandler : llvm::DiagnosticHandler {
  explicit CollectingHandler(std::string& errors) : errors(errors) {}
  bool handleDiagnostics(const llvm::DiagnosticInfo& info) override {
    if (info.getSeverity() != llvm::DS_Error) return true;
    llvm::raw_string_ostream stream(errors);
    llvm::DiagnosticPrinterRawOStream printer(stream);
    info.print(printer);
    return true;
  }
  std::string& errors;
};

// LLVM has no way back from these; without a handler it would abort.
[[noreturn]] void exit_on_fatal_error(void*, const char* reason, bool) { internal_error(reason); }

std::unique_ptr<llvm::TargetMachine> make_machine(const Target& target) {
  llvm::TargetOptions options;
  options.LoopAlignment = 32;  // bytes: a loop starts at a fetch boundary of every CPU
  return std::unique_ptr<llvm::TargetMachine>(
      back_end(target.triple)
          ->createTargetMachine(llvm::Triple(target.triple), instruction_set(target), target.features,
                                options, llvm::Reloc::PIC_, llvm::CodeModel::Small,
                                llvm::CodeGenOptLevel::Default));
}

// Writes to a string; LLVM's own streams that can go back are of other containers.
class StringStream : public llvm::raw_pwrite_stream {
 public:
  explicit StringStream(std::string& text) : raw_pwrite_stream(/*Unbuffered=*/true), text_(text) {}

 private:
  void write_impl(const char* from, size_t size) override { text_.append(from, size); }
  void pwrite_impl(const char* from, size_t size, uint64_t at) override {
    std::copy_n(from, size, text_.begin() + static_cast<ptrdiff_t>(at));
  }
  uint64_t current_pos() const override { return text_.size(); }
  std::string& text_;
};

bool embeds_weights(const NetworkImage& image) {
  return image.weights_file.empty() && !image.weights.empty();
}

Result<std::string> generate(llvm::Module& module, llvm::TargetMachine& machine, const NetworkImage& image,
                             CodeKind kind) {
  if (kind == CodeKind::llvm_ir) {
    std::string text;
    llvm::raw_string_ostream stream(text);
    module.print(stream, nullptr);
    return text;
  }
  std::string errors;
  module.getContext().setDiagnosticHandler(std::make_unique<CollectingHandler>(errors));
  const llvm::ScopedFatalErrorHandler fatal(exit_on_fatal_error);
  std::string code;
  StringStream stream(code);
  llvm::legacy::PassManager passes;
  const auto file =
      kind == CodeKind::object ? llvm::CodeGenFileType::ObjectFile : llvm::CodeGenFileType::AssemblyFile;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, file))
    return our_fault("LLVM cannot write such a file");
  passes.run(module);
  if (!errors.empty()) return our_fault(errors);
  if (kind == CodeKind::object && embeds_weights(image))
    if (Status put = put_weights_behind(code); !put) return put.take_error();
  return code;
}

// ---- a network for a GPU: tables alone

Result<std::string> emit_gpu_object(const Graph& graph, const Plan& plan, const NetworkImage& image) {
  Result<std::vector<GpuCode>> codes = gpu_codes(plan, image.assembler);
  if (!codes) return codes.take_error();
  std::vector<cardinal_gpu_code> tables;
  const ModelDescription description(graph, std::span(&plan, 1), image);
  cardinal_model model = description.model();
  for (const GpuCode& code : *codes) {
    const bool ptx = code.kind == CARDINAL_GPU_PTX;  // std::string ends with the NUL
    tables.push_back(
        {code.kind, code.facts->arch, code.facts->specific, 0, code.data.size() + ptx, code.data.data()});
    model.code_bytes += tables.back().bytes;
  }
  const cardinal_gpu gpu{static_cast<uint32_t>(tables.size()), tables.data()};
  model.gpu = &gpu;
  llvm::LLVMContext context;
  llvm::Module module(image.symbol, context);
  const std::unique_ptr<llvm::TargetMachine> machine = make_machine(Target{});
  module.setTargetTriple(machine->getTargetTriple());
  module.setDataLayout(machine->createDataLayout());
  module.setPICLevel(llvm::PICLevel::BigPIC);
  const VariantCode none{nullptr, std::vector<llvm::Function*>(plan.steps.size())};
  emit_model_tables(module, model, image, none, true);
  return generate(module, *machine, image, CodeKind::object);
}

Result<std::string> emit_gpu_code(const Graph& graph, const Plan& plan, const NetworkImage& image,
                                  CodeKind kind) {
  switch (kind) {
    case CodeKind::object:
      return emit_gpu_object(graph, plan, image);
    case CodeKind::llvm_ir:
      return gpu_llvm_ir(plan);
    case CodeKind::assembly:
    case CodeKind::ptx:
      return gpu_ptx(plan, plan.target);
    case CodeKind::cubin:
      break;
  }
  if (image.assembler.empty())
    return Diagnostics(
        "a cubin needs NVIDIA's ptxas or nvJitLink, and neither is on its path; say where one is with "
        "--ptxas");
  return gpu_cubin(plan, image.assembler);
}

}  // namespace

Result<std::string> emit_code(const Graph& graph, std::span<const Plan> plans, const NetworkImage& image,
                              CodeKind kind) {
  // Code reaches the weights by 32-bit offsets; the rest of the 2 GiB is for everything else.
  constexpr size_t kMaxEmbeddedBytes = size_t{2000} << 20;
  const size_t weights_bytes = embeds_weights(image) ? image.weights.size() * sizeof(float) : 0;
  if (weights_bytes > kMaxEmbeddedBytes)
    return Diagnostics(
        fmt::format("{} bytes of weights do not fit into a shared object, which holds {}; keep them "
                    "in a file of their own with --weights-file",
                    weights_bytes, kMaxEmbeddedBytes));
  if (plans.front().target.gpu) return emit_gpu_code(graph, plans.front(), image, kind);
  if (kind == CodeKind::ptx || kind == CodeKind::cubin)
    return Diagnostics(fmt::format("PTX and cubins are code for a GPU, such as --target sm_90; {} is a CPU",
                                   plans.front().target.cpu));
  llvm::LLVMContext context;
  llvm::Module module(image.symbol, context);
  const std::unique_ptr<llvm::TargetMachine> machine = make_machine(plans.front().target);
  module.setTargetTriple(machine->getTargetTriple());
  module.setDataLayout(machine->createDataLayout());
  module.setPICLevel(llvm::PICLevel::BigPIC);

  const ModelDescription description(graph, plans, image);
  emit_variants(module, plans, description.model(), image, kind == CodeKind::object);

  std::string problems;
  llvm::raw_string_ostream stream(problems);
  if (llvm::verifyModule(module, &stream)) return our_fault(problems);
  return generate(module, *machine, image, kind);
}

FilePieces object_file(const std::string& code, const NetworkImage& image) {
  if (!embeds_weights(image)) return {code};
  return {code, {reinterpret_cast<const char*>(image.weights.data()), image.weights.size() * sizeof(float)}};
}

}  // namespace cardinal
