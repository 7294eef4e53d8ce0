#include "compiler/language/aliases.h"

#include <algorithm>

namespace cardinal {
namespace {

// Names that differ from ours in case, '_' or "2d" only need no row.
constexpr Alias kOps[] = {
    {"convolution", "conv", ""},
    {"bn", "batch_norm", ""},
    {"batchnormalization", "batch_norm", ""},
    {"ln", "layer_norm", ""},
    {"layernormalization", "layer_norm", ""},
    {"lrn", "local_response_norm", ""},
    {"localresponsenormalization", "local_response_norm", ""},
    {"swish", "silu", ""},
    {"hswish", "hardswish", ""},
    {"hsigmoid", "hardsigmoid", ""},
    {"lrelu", "leaky_relu", ""},
    {"clamp", "clip", ""},
    {"hardtanh", "clip", ""},
    {"maxpooling", "max_pool", ""},
    {"averagepool", "avg_pool", ""},
    {"averagepooling", "avg_pool", ""},
    {"gap", "global_avg_pool", ""},
    {"pooling", "max_pool", ""},
    {"globalaveragepool", "global_avg_pool", ""},
    {"gmp", "global_max_pool", ""},
    {"globalmaxpooling", "global_max_pool", ""},
    {"globalaveragepooling", "global_avg_pool", ""},
    {"adaptiveaveragepool", "adaptive_avg_pool", ""},
    {"dense", "linear", ""},
    {"fc", "linear", ""},
    {"fullyconnected", "linear", ""},
    {"gemm", "linear", ""},
    {"cat", "concat", ""},
    {"concatenate", "concat", ""},
    {"chunk", "split", ""},
    {"slicechannel", "split", ""},
    {"tensorsplit", "split", ""},
    {"narrow", "slice", ""},
    {"reshape", "flatten", ""},
    {"squeeze", "flatten", ""},
    {"view", "flatten", ""},
    {"shuffle", "channel_shuffle", ""},
    {"droppath", "stochastic_depth", ""},
    {"layerscale", "channel_scale", ""},
    {"multiply", "mul", ""},
    {"elemwiseadd", "add", ""},
    {"elemwisemul", "mul", ""},
    {"broadcastadd", "add", ""},
    {"broadcastmul", "mul", ""},
    {"softmaxoutput", "softmax", ""},
    {"sub", "", "write x - y"},
    {"subtract", "", "write x - y"},
    {"div", "", "write x / number"},
    {"divide", "", "write x / number"},
    {"pow", "", "of two numbers it is written a ** b"},
    {"mean", "global_avg_pool", ""},
    {"identity", "", "leave it out"},
    {"zeropad", "pad", ""},
    {"zeropadding", "pad", ""},
    {"constantpad", "pad", ""},
    {"activation", "", "call what it names, as in x |> relu"},
    {"sequential", "", "write one layer after the other: x |> f |> g"},
    {"transpose", "", "dimensions are always in the order N, C, H, W; leave it out"},
    {"permute", "", "dimensions are always in the order N, C, H, W; leave it out"},
    {"depthwiseconv", "", "write conv with 'groups' of as many as its channels"},
};

constexpr Alias kAttributes[] = {
    {"kernelsize", "kernel", ""},
    {"filtersize", "kernel", ""},
    {"poolsize", "kernel", ""},
    {"ksize", "kernel", ""},
    {"outchannels", "channels", ""},
    {"outfeatures", "channels", ""},
    {"filters", "channels", ""},
    {"numfilter", "channels", ""},
    {"numhidden", "channels", ""},
    {"units", "channels", ""},
    {"features", "channels", ""},
    {"strides", "stride", ""},
    {"pads", "padding", ""},
    {"dilationrate", "dilation", ""},
    {"dilate", "dilation", ""},
    {"numgroups", "groups", ""},
    {"numgroup", "groups", ""},
    {"cardinality", "groups", ""},
    {"usebias", "bias", ""},
    {"nobias", "", "write bias=false"},
    {"featuregroupcount", "groups", ""},
    {"kerneldilation", "dilation", ""},
    {"windowshape", "kernel", ""},
    {"epsilon", "eps", ""},
    {"outputsize", "output", ""},
    {"slope", "negative_slope", ""},
    {"alpha", "negative_slope", ""},
    {"minval", "min", ""},
    {"minvalue", "min", ""},
    {"maxval", "max", ""},
    {"maxvalue", "max", "that is relu6, or clip(min=0, max=...)"},
    {"constantvalue", "value", ""},
    {"constantvalues", "value", ""},
    {"padwidth", "padding", ""},
    {"rate", "p", ""},
    {"start", "begin", ""},
    {"stop", "end", ""},
    {"momentum", "", "it acts in training only; leave it out"},
    {"trackrunningstats", "", "leave it out"},
    {"inplace", "", "leave it out"},
    {"userunningaverage", "", "leave it out"},
    {"useglobalstats", "", "leave it out"},
    {"fixgamma", "", "leave it out"},
    {"training", "", "leave it out"},
    {"kernelinitializer", "", "weights come from the weight file; leave it out"},
    {"biasinitializer", "", "weights come from the weight file; leave it out"},
    {"weightinitializer", "", "weights come from the weight file; leave it out"},
    {"activation", "", "write it behind the op, as in ... |> relu"},
    {"act", "", "write it behind the op, as in ... |> relu"},
    {"name", "", "a layer's name stands before its op, as in name: conv(...)"},
    {"dataformat", "", "the caller's layout is said at the input, as in layout=nhwc; leave it out"},
    {"layout", "", "the caller's layout is said at the input, as in layout=nhwc; leave it out"},
    {"inputshape", "", "it is that of the input; leave it out"},
    {"inunits", "", "they are those of the input; leave it out"},
    {"inchannels", "", "they are those of the input; leave it out"},
    {"infeatures", "", "they are those of the input; leave it out"},
    {"numfeatures", "", "they are those of the input; leave it out"},
    {"axis", "", "it works along the channels; leave it out"},
    {"dim", "", "it works along the channels; leave it out"},
};

constexpr Alias kWords[] = {
    {"valid", "", "no padding is padding=0"},
    {"samelower", "", "write the padding's numbers, [top, left, bottom, right]"},
    {"none", "", "there is no such value; leave the argument out or give a number"},
    {"null", "", "there is no such value; leave the argument out or give a number"},
    {"channelslast", "nhwc", ""},
    {"channelsfirst", "nchw", ""},
    {"torch", "pytorch", ""},
    {"tensorflow", "keras", ""},
    {"tf", "keras", ""},
    {"jax", "flax", ""},
    {"gluon", "mxnet", ""},
};

constexpr Alias kDeclarations[] = {
    {"def", "", "a block of layers is declared with 'block', a function on values with 'fn'"},
    {"func", "fn", ""},
    {"function", "fn", ""},
    {"class", "block", ""},
    {"module", "block", ""},
    {"layer", "block", ""},
    {"model", "network", ""},
    {"net", "network", ""},
    {"const", "let", ""},
    {"var", "let", ""},
    {"include", "import", ""},
    {"from", "import", ""},
};

constexpr Alias kTypes[] = {
    {"integer", "int", ""}, {"long", "int", ""},   {"double", "float", ""}, {"number", "float", ""},
    {"str", "string", ""},  {"array", "list", ""}, {"tuple", "list", ""},   {"callable", "block", ""},
};

}  // namespace

std::span<const Alias> op_aliases() { return kOps; }
std::span<const Alias> attribute_aliases() { return kAttributes; }
std::span<const Alias> word_aliases() { return kWords; }
std::span<const Alias> declaration_aliases() { return kDeclarations; }
std::span<const Alias> type_aliases() { return kTypes; }

std::string plain_spelling(std::string_view word) {
  std::string plain;
  for (char c : word)
    if (c != '_') plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (plain.size() > 2 && plain.ends_with("2d")) plain.resize(plain.size() - 2);
  return plain;
}

}  // namespace cardinal
