/* The binary interface between a compiled network and whoever calls it. Plain C; the generated code, the
 * runtime and the compiler all include this one file.
 *
 * Conventions
 *   - A compiled network NET exports exactly one object, `NET_cardinal_model`, and two functions, `NET_run`
 *     and `NET_variant`. All else hangs off the object. Two networks therefore link into one program.
 *   - A network may hold code for several instruction sets: variants, each a cardinal_model of its own.
 *     `NET_cardinal_model` is the one that asks least of the CPU and leads to the others. They take the same
 *     weights and a workspace of the same size, and give the same bits.
 *   - A network for an NVIDIA GPU holds kernels instead of functions: `gpu` is not NULL, each step is one
 *     `launch`, and there is no `run`, no task, no variant, no NET_run and no NET_variant. Whoever runs it
 *     copies the weights to the device, allocates workspace_bytes there and launches the steps in order on
 * one stream. Buffers are device memory, aligned to 16 bytes (with an open batch, the first image).
 *   - Everything reachable from a cardinal_model is immutable. A model may be run by any number of threads at
 *     once, each with a workspace of its own.
 *   - Running cannot fail: it allocates nothing, takes no lock, calls no library, and touches no global (but
 *     NET_run of a network with several variants remembers which one the CPU takes).
 *   - The caller owns every buffer. Tensors are dense, in the element order that `layout` names, and must be
 *     aligned to their element; the workspace must be aligned to CARDINAL_ALIGNMENT bytes. Inputs are never
 *     written. No two buffers of a call may overlap.
 *   - Sizes are bytes unless a name says otherwise.
 *   - Results are the same bits for any executor, any number of threads and any variant: each output element
 *     is computed by one thread, in one fixed order.
 */
#ifndef CARDINAL_ABI_H
#define CARDINAL_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define CARDINAL_NOEXCEPT noexcept
#else
#define CARDINAL_NOEXCEPT
#endif

/* Raised whenever a structure below changes shape or meaning; a loader refuses any other version. */
#define CARDINAL_ABI_VERSION 8u

#define CARDINAL_ALIGNMENT 64u
#define CARDINAL_MAX_RANK 6

enum cardinal_dtype { CARDINAL_F32 = 0, CARDINAL_F16 = 1, CARDINAL_BF16 = 2 };

/* Element order of a rank-4 tensor in memory. Rank 1 and 2 tensors are row-major under CARDINAL_NCHW. */
enum cardinal_layout { CARDINAL_NCHW = 0, CARDINAL_NHWC = 1, CARDINAL_NCHW16C = 2 };

/* Instruction sets a model was compiled for, one bit each; a loader checks them against the CPU. */
enum cardinal_feature {
  CARDINAL_FEATURE_AVX2_FMA = 1u << 0, /* AVX2, FMA, F16C, BMI1/2: x86-64-v3 */
  CARDINAL_FEATURE_AVX512 = 1u << 1,   /* AVX-512 F, CD, BW, DQ, VL: x86-64-v4 */
  CARDINAL_FEATURE_NEON = 1u << 2      /* Advanced SIMD: every AArch64 CPU that runs Linux */
};

struct cardinal_tensor {
  const char* name;
  int32_t dtype;  /* cardinal_dtype */
  int32_t layout; /* cardinal_layout */
  int32_t rank;
  int32_t open_batch; /* 1: the caller chooses N, and dims and bytes are those of one image, N = 1; see run */
  int64_t dims[CARDINAL_MAX_RANK]; /* N, C, H, W or N, C whatever the layout; unused entries are 0 */
  uint64_t bytes;
};

/* The pointers of one run. */
struct cardinal_frame {
  const void* const* inputs; /* one per cardinal_model.inputs, in order */
  void* const* outputs;      /* one per cardinal_model.outputs, in order */
  const void* weights; /* the packed ones: cardinal_model.weights, or what a weight file that is not compact
                          has past its header */
  void* workspace;     /* workspace_bytes, aligned to CARDINAL_ALIGNMENT; contents need not be initialised */
  int64_t image; /* for a call of a task: which image a step that is repeated for each computes, else 0; for
                    `run`: 0 */
};

/* Computes units [begin, end) of one step, maybe none. Units are independent of each other. */
typedef void (*cardinal_task)(const struct cardinal_frame* frame, int64_t begin,
                              int64_t end) CARDINAL_NOEXCEPT;

/* How to run the units of a step on several threads. parallel_for must call task(frame, b, e) so that the
 * ranges cover [0, units) exactly once, and return only when all calls have returned. Beyond one for each
 * thread, a range should have at least `grain` units (which is at least 1, and may be more than `units`):
 * fewer are not worth a call, or need what is prepared once for all units of a range. */
struct cardinal_executor {
  void* context;
  void (*parallel_for)(void* context, int64_t units, int64_t grain, cardinal_task task,
                       const struct cardinal_frame* frame);
};

/* One kernel launch on an NVIDIA GPU. Kernels take pointers only; all sizes are constants in them. */
enum cardinal_gpu_space {
  CARDINAL_GPU_INPUT = 0,
  CARDINAL_GPU_OUTPUT = 1,
  CARDINAL_GPU_WEIGHTS = 2,
  CARDINAL_GPU_WORKSPACE = 3
};
struct cardinal_gpu_pointer {
  int32_t space; /* cardinal_gpu_space */
  int32_t index; /* of the input or output, else 0 */
  uint64_t offset;
};
struct cardinal_gpu_launch {
  const char* kernel;    /* its name in the code */
  uint32_t grid[3];      /* thread blocks along x, y, z */
  uint32_t block[3];     /* threads along x, y, z */
  uint32_t shared_bytes; /* dynamic shared memory of a thread block; beyond 48 KiB the driver must be asked */
  uint32_t pointer_count;
  const struct cardinal_gpu_pointer* pointers; /* the kernel's parameters, in order */
};

/* Code for a GPU. PTX runs on its compute capability and later ones, a cubin on its own and later ones of the
 * same major number; `specific` code on its own alone. */
enum cardinal_gpu_code_kind { CARDINAL_GPU_PTX = 0, CARDINAL_GPU_CUBIN = 1 };
struct cardinal_gpu_code {
  int32_t kind;     /* cardinal_gpu_code_kind */
  int32_t arch;     /* 80: compute capability 8.0 */
  int32_t specific; /* 1: an architecture such as sm_90a */
  int32_t reserved; /* 0 */
  uint64_t bytes;   /* of PTX with its NUL */
  const void* data;
};
struct cardinal_gpu {
  uint32_t code_count; /* at least 1; each holds all kernels of the steps */
  const struct cardinal_gpu_code* codes;
};

/* One kernel call. Steps run in order; a step may read whatever earlier steps wrote. Steps that are repeated
 * for each image of a batch come first: all of them are run for image 0, then for image 1, and so on. */
struct cardinal_step {
  const char* name;   /* the source layer, e.g. "layer1.0.conv1" */
  const char* kernel; /* the kernel chosen for it, e.g. "conv_direct_14x2" */
  cardinal_task task; /* NULL on a GPU */
  int64_t units;      /* on a GPU its thread blocks */
  int64_t grain;      /* of units: see cardinal_executor; on a GPU 1 */
  int64_t repeats;    /* 1, or the images; what follows is of all of them */
  uint64_t flops;     /* of direct convolution: 2 per multiply-add */
  uint64_t bytes;     /* compulsory traffic: operands read once, result written once */
  /* What profiles hold a measured time against. */
  uint64_t arithmetic; /* operations that the kernel cannot do without: of flops, those whose taps lie in the
                          input; of a fast algorithm, those of its matrix products */
  uint64_t weight_bytes;                    /* of bytes, a convolution's weights */
  double predicted_us;                      /* by the compiler's cost model, on one thread */
  const struct cardinal_gpu_launch* launch; /* NULL on a CPU */
};

struct cardinal_model {
  uint32_t abi_version;  /* first, so that any version can be recognised */
  uint32_t struct_bytes; /* sizeof(cardinal_model) as compiled */
  const char* name;      /* the network's name as in its source */
  const char* target;    /* LLVM CPU name, e.g. "znver4", "x86-64-v3" or "aarch64"; of a GPU e.g. "sm_90a" */
  const char* compiler;  /* "cardinal 0.1.0, LLVM 22.1.8" */
  uint64_t model_hash;   /* of the graph, the plan and the packed weights */
  uint32_t required_features; /* cardinal_feature bits */
  uint32_t input_count;
  uint32_t output_count;
  uint32_t step_count;
  const struct cardinal_tensor* inputs;
  const struct cardinal_tensor* outputs;
  const struct cardinal_step* steps;
  uint64_t workspace_bytes;
  uint64_t weights_bytes;   /* of the packed weights */
  const void* weights;      /* NULL when they live in weights_file */
  const char* weights_file; /* file name beside the shared object, or NULL */
  uint64_t weights_hash;    /* cardinal_hash of the packed weights */
  uint64_t parameter_count; /* of the source network, batch-norm statistics included */
  uint64_t flops;           /* sum over steps */
  uint64_t code_bytes;      /* of this variant's functions */
  uint64_t weights_read;    /* bytes of the packed weights that this variant uses; variants share them */
  const struct cardinal_model* better; /* the variant for CPUs with more instruction sets, or NULL */
  const struct cardinal_gpu* gpu;      /* its code; NULL: the network runs on a CPU */
  /* All steps in order. executor may be NULL: everything on the calling thread. Where the batch is open it
   * computes one image: call it for each, with the pointers of tensors that have open_batch advanced by their
   * bytes. NULL on a GPU. */
  void (*run)(const struct cardinal_frame* frame, const struct cardinal_executor* executor) CARDINAL_NOEXCEPT;
};

/* The last 256 bytes of a compiled shared object (after the ELF image, where the dynamic loader never looks).
 * A loader checks the whole file against it before handing the file to dlopen. */
#define CARDINAL_TRAILER_MAGIC "CARDINAL.MODEL\0"
struct cardinal_trailer {
  char magic[16];
  uint32_t abi_version;
  uint32_t trailer_bytes; /* 256 */
  uint64_t file_bytes;    /* of the whole file, trailer included */
  uint64_t image_hash;    /* cardinal_hash of the file_bytes - 256 bytes before the trailer */
  char symbol[216];       /* NUL-terminated name of the cardinal_model object */
};

/* A weight file: this header, zero padding up to 4096 bytes, then the weights. These are the packed ones,
 * which are used where they are mapped, or in a compact file, whose form_count is not 0, floats that the
 * packed ones are formed from (cardinal/weight_forms.h), and the forms. */
#define CARDINAL_WEIGHTS_MAGIC "CARDINAL.WEIGHT"
#define CARDINAL_WEIGHTS_OFFSET 4096u
struct cardinal_weights_header {
  char magic[16];
  uint32_t abi_version;
  uint32_t header_bytes;  /* 4096 */
  uint64_t weights_bytes; /* of the packed weights */
  uint64_t weights_hash;
  uint64_t model_hash;   /* of the model it was packed for */
  uint64_t stored_bytes; /* of the floats in the file; weights_bytes unless it is compact */
  uint64_t stored_hash;  /* cardinal_hash of all that follows the padding */
  uint64_t form_count;
};

/* How a section of the packed weights is formed. Offsets and sizes are floats. */
enum cardinal_weight_form_kind {
  CARDINAL_FORM_COPY = 0,     /* `rows` floats as they are; columns is 1 */
  CARDINAL_FORM_WINOGRAD = 1, /* of a 3x3 kernel: [element of the transformed tile][block][ic][16 oc] */
  CARDINAL_FORM_STRASSEN = 2  /* of a 1x1 kernel: [block of oc / 2][product][ic / 2][16 oc] */
};
struct cardinal_weight_form {
  int32_t kind;      /* cardinal_weight_form_kind */
  int32_t parameter; /* WINOGRAD: outputs along a tile's side, 2 or 4. STRASSEN: -1, or the product of a first
                        level that is the kernel here */
  uint64_t source;   /* where the stored kernel is */
  uint64_t factors;  /* STRASSEN: where its powers of two are: by input channel k, what k + ic / 2 is
                        multiplied  by, then by output channel c, what c + oc / 2 is in the end; for a second
                        level those of  the first, then its own */
  uint64_t packed;   /* where the section begins; blocks are an odd number of cache lines apart */
  uint64_t rows;     /* output channels, of the stored kernel */
  uint64_t columns;  /* input channels of a group, of the stored kernel */
};

#ifdef __cplusplus
}
#endif
#endif
