#include "codegen/model_table.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/DataLayout.h>

#include "codegen/weights_section.h"

namespace cardinal {

namespace {

constexpr uint64_t kPage = 4096;  // processes share the weights page by page

// Builds constants that mirror the structures of abi.h, member by member in order.
class TableBuilder {
 public:
  explicit TableBuilder(llvm::Module& module) : module_(module), context_(module.getContext()) {}

  llvm::Constant* u32(uint64_t value) {
    return llvm::ConstantInt::get(llvm::Type::getInt32Ty(context_), value);
  }
  llvm::Constant* u64(uint64_t value) {
    return llvm::ConstantInt::get(llvm::Type::getInt64Ty(context_), value);
  }
  llvm::Constant* f64(double value) {
    return llvm::ConstantFP::get(llvm::Type::getDoubleTy(context_), value);
  }
  llvm::Constant* null() { return llvm::ConstantPointerNull::get(llvm::PointerType::get(context_, 0)); }

  llvm::Constant* text(const char* characters) {
    if (!characters) return null();
    return define(llvm::ConstantDataArray::getString(context_, characters), "text");
  }

  llvm::Constant* i32(int32_t value) { return u32(static_cast<uint32_t>(value)); }
  llvm::Constant* or_null(llvm::Constant* pointer) { return pointer ? pointer : null(); }

  // Three numbers in a row.
  llvm::Constant* triple(const uint32_t* numbers) {
    return llvm::ConstantDataArray::get(context_, llvm::ArrayRef(numbers, 3));
  }

  llvm::Constant* launch(const cardinal_gpu_launch* l) {
    if (!l) return null();
    llvm::SmallVector<llvm::Constant*> pointers;
    for (const cardinal_gpu_pointer& p : llvm::ArrayRef(l->pointers, l->pointer_count))
      pointers.push_back(
          structure({i32(p.space), i32(p.index), u64(p.offset)}, sizeof(cardinal_gpu_pointer)));
    return define(structure({text(l->kernel), triple(l->grid), triple(l->block), u32(l->shared_bytes),
                             u32(l->pointer_count), list(pointers, "pointers")},
                            sizeof(cardinal_gpu_launch)),
                  "launch");
  }

  llvm::Constant* gpu(const cardinal_gpu* g) {
    if (!g) return null();
    llvm::SmallVector<llvm::Constant*> codes;
    for (const cardinal_gpu_code& c : llvm::ArrayRef(g->codes, g->code_count)) {
      const llvm::StringRef bytes(static_cast<const char*>(c.data), c.bytes);
      llvm::GlobalVariable* data = define(
          llvm::ConstantDataArray::getRaw(bytes, bytes.size(), llvm::Type::getInt8Ty(context_)), "gpu_code");
      data->setAlignment(llvm::Align(CARDINAL_ALIGNMENT));
      codes.push_back(structure({i32(c.kind), i32(c.arch), i32(c.specific), i32(0), u64(c.bytes), data},
                                sizeof(cardinal_gpu_code)));
    }
    return define(structure({u32(g->code_count), list(codes, "gpu_codes")}, sizeof(cardinal_gpu)), "gpu");
  }

  // A structure whose size must be that of its C counterpart.
  llvm::Constant* structure(llvm::ArrayRef<llvm::Constant*> members, [[maybe_unused]] size_t c_size) {
    llvm::Constant* result = llvm::ConstantStruct::getAnon(members);
    assert(module_.getDataLayout().getTypeAllocSize(result->getType()) == c_size);
    return result;
  }

  // An array of structures of one type, as a pointer to its first.
  llvm::Constant* list(llvm::ArrayRef<llvm::Constant*> elements, const char* name) {
    if (elements.empty()) return null();
    auto* type = llvm::ArrayType::get(elements.front()->getType(), elements.size());
    return define(llvm::ConstantArray::get(type, elements), name);
  }

  llvm::GlobalVariable* define(llvm::Constant* value, const llvm::Twine& name) {
    return new llvm::GlobalVariable(module_, value->getType(), true, llvm::GlobalValue::PrivateLinkage, value,
                                    name);
  }

  llvm::Constant* tensor(const cardinal_tensor& t) {
    llvm::SmallVector<llvm::Constant*, CARDINAL_MAX_RANK> dims;
    for (int64_t dim : t.dims) dims.push_back(u64(static_cast<uint64_t>(dim)));
    auto* array = llvm::ArrayType::get(llvm::Type::getInt64Ty(context_), CARDINAL_MAX_RANK);
    return structure(
        {text(t.name), u32(t.dtype), u32(t.layout), u32(t.rank), u32(static_cast<uint64_t>(t.open_batch)),
         llvm::ConstantArray::get(array, dims), u64(t.bytes)},
        sizeof(cardinal_tensor));
  }

  llvm::Constant* step(const cardinal_step& s, llvm::Function* task) {
    return structure({text(s.name), text(s.kernel), or_null(task), u64(s.units), u64(s.grain), u64(s.repeats),
                      u64(s.flops), u64(s.bytes), u64(s.arithmetic), u64(s.weight_bytes), f64(s.predicted_us),
                      launch(s.launch)},
                     sizeof(cardinal_step));
  }

  llvm::Constant* tensors(const cardinal_tensor* list_of, uint32_t count, const char* name) {
    llvm::SmallVector<llvm::Constant*> elements;
    for (uint32_t i = 0; i < count; ++i) elements.push_back(tensor(list_of[i]));
    return list(elements, name);
  }

  llvm::Constant* steps(const cardinal_model& m, llvm::ArrayRef<llvm::Function*> tasks) {
    llvm::SmallVector<llvm::Constant*> elements;
    for (uint32_t i = 0; i < m.step_count; ++i) elements.push_back(step(m.steps[i], tasks[i]));
    return list(elements, "steps");
  }

 private:
  llvm::Module& module_;
  llvm::LLVMContext& context_;
};

// The packed weights in pages of their own. A variable of zeros is given a section without bytes.
llvm::Constant* emit_weights(llvm::Module& module, const NetworkImage& image, bool with_section) {
  auto* type = llvm::ArrayType::get(llvm::Type::getFloatTy(module.getContext()), image.weights.size());
  auto* weights = new llvm::GlobalVariable(module, type, !with_section, llvm::GlobalValue::ExternalLinkage,
                                           nullptr, image.symbol + "_weights");
  weights->setVisibility(llvm::GlobalValue::HiddenVisibility);
  weights->setAlignment(llvm::Align(kPage));
  weights->setSection(kEmptyWeightsSection);
  if (with_section) {
    weights->setInitializer(llvm::Constant::getNullValue(type));
    weights->setLinkage(llvm::GlobalValue::InternalLinkage);
  }
  return weights;
}

// From one function of the module to another, in bytes.
llvm::Constant* distance(llvm::Function* from, llvm::Function* to) {
  llvm::Type* u64 = llvm::Type::getInt64Ty(from->getContext());
  return llvm::ConstantExpr::getSub(llvm::ConstantExpr::getPtrToInt(to, u64),
                                    llvm::ConstantExpr::getPtrToInt(from, u64));
}

llvm::Constant* model_table(TableBuilder& t, const cardinal_model& m, const VariantCode& code,
                            llvm::Constant* weights, llvm::Constant* better) {
  return t.structure({t.u32(m.abi_version),
                      t.u32(m.struct_bytes),
                      t.text(m.name),
                      t.text(m.target),
                      t.text(m.compiler),
                      t.u64(m.model_hash),
                      t.u32(m.required_features),
                      t.u32(m.input_count),
                      t.u32(m.output_count),
                      t.u32(m.step_count),
                      t.tensors(m.inputs, m.input_count, "inputs"),
                      t.tensors(m.outputs, m.output_count, "outputs"),
                      t.steps(m, code.tasks),
                      t.u64(m.workspace_bytes),
                      t.u64(m.weights_bytes),
                      weights,
                      t.text(m.weights_file),
                      t.u64(m.weights_hash),
                      t.u64(m.parameter_count),
                      t.u64(m.flops),
                      code.first ? distance(code.first, code.end) : t.u64(m.code_bytes),
                      t.u64(m.weights_read),
                      better,
                      t.gpu(m.gpu),
                      t.or_null(code.run)},
                     sizeof(cardinal_model));
}

}  // namespace

std::vector<llvm::GlobalVariable*> emit_model_tables(llvm::Module& module, const cardinal_model& first,
                                                     const NetworkImage& image,
                                                     llvm::ArrayRef<VariantCode> codes, bool with_weights) {
  TableBuilder t(module);
  const bool embedded = !first.weights_file && first.weights_bytes > 0;
  llvm::Constant* weights = embedded ? emit_weights(module, image, with_weights) : t.null();
  std::vector<const cardinal_model*> models;
  for (const cardinal_model* model = &first; model; model = model->better) models.push_back(model);
  std::vector<llvm::GlobalVariable*> tables(models.size());
  llvm::Constant* better = t.null();
  for (size_t i = models.size(); i-- > 0; better = tables[i]) {
    tables[i] = t.define(model_table(t, *models[i], codes[i], weights, better), "variant");
    tables[i]->setAlignment(llvm::Align(CARDINAL_ALIGNMENT));
  }
  tables.front()->setName(image.symbol + "_cardinal_model");
  tables.front()->setLinkage(llvm::GlobalValue::ExternalLinkage);
  return tables;
}

}  // namespace cardinal
