// The operators of rewire for C++ callers; torch.ops.rewire.* are the same ones. All go through the
// dispatcher, so that autograd, InferenceMode and other devices work as for torch's own.
//
// What holds for all of them: no output aliases an input, nothing is changed in place, no random
// number is drawn, nothing is remembered between calls, but what `auto` measured. Results are the
// same bits at every number of threads, where nothing else is said. Under autocast the sparse and
// wired layers compute in its type, as torch's linear layers do, and wired_blocks in float32. A
// weight is floating: float32, float64, float16 or bfloat16; any strides. Each throws c10::Error
// where its contract is broken. The ops that choose edges throw, on the CPU, where a weight holds
// NaN, naming the place: row = index in the first dimension, column = flat index within it; on CUDA
// nothing waits for the device, and so no value is looked at by the host: NaN counts as the largest
// magnitude, and shows in what is computed from it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace rewire::ops {

// Which edges of a layer of `in` to `out` channels exist, as CSR by output and by input. All int32.
struct Structure {
  at::Tensor row_offsets;  // [out + 1] edges of output v are row_offsets[v] .. row_offsets[v + 1]
  at::Tensor columns;      // [edges] their inputs, ascending in a row
  at::Tensor column_offsets;  // [in + 1] edges of input u, in the transpose
  at::Tensor rows;            // [edges] their outputs, ascending in a column
  at::Tensor order;           // [edges] order[j] = position in CSR of the transpose's j-th edge
};

struct Selection : Structure {
  at::Tensor threshold;  // [] the smallest magnitude kept, of the weight's dtype
};

// Chooses the `keep` strongest edges of a weight.
//   edge e is chosen if |weight[e]| is among the `keep` largest   (ties: the lower flat index wins)
// weight [out, in] or [out, in, 1, 1]. keep in [0, out * in], at most 2^31 - 1. keep = 0 gives the
// threshold +inf.
// hint [], of the weight's dtype: an earlier threshold. One near today's makes the call faster; no
// value, NaN and inf included, changes its result. Not used on CUDA.
// Gradient: none, no output requires one. O(out * in) time, O(keep) memory unless the weight's
// order of values is hostile to a sample of fixed places. Source: Wortsman, Farhadi, Rastegari
// 2019, section 3.
Selection select(const at::Tensor& weight, int64_t keep,
                 const std::optional<at::Tensor>& hint = std::nullopt);

// The same choice as a mask: true where the entry is among the `keep` strongest.
// weight of any shape, keep in [0, numel]. Returns bool of the weight's shape. Gradient: none.
at::Tensor strongest_mask(const at::Tensor& weight, int64_t keep);

// The same choice as a dense effective weight.
//   out[e] = weight[e] if e is among the `keep` strongest, else +0
// weight of any shape, keep in [0, numel]. Returns the weight's shape, dtype and device.
// Gradient: `all`, straight-through: grad_weight = grad_out for every entry, kept or not;
//           `kept`: grad_weight = grad_out where kept, else 0.
// Source: Wortsman, Farhadi, Rastegari 2019, section 3.
at::Tensor keep_strongest(const at::Tensor& weight, int64_t keep,
                          std::string_view gradient = "all");

// A weight with some of its weakest entries dropped.
//   out[e] = +0 if e is a candidate and draws[e] < drop_rate, else weight[e]
// weight [out, ...]. candidates: how many entries are candidates, the smallest by magnitude, in
// each output row (per_row, so in [0, numel / out]) or in the whole weight (in [0, numel]); of
// equal magnitudes the higher flat index is a candidate first, as in `select` it is the last to be
// kept. draws: floating, of the weight's shape; nullopt drops every candidate, which is what
// evaluation does. drop_rate in [0, 1], rounded to the dtype of draws. keep_sign = false gives
// |weight[e]| for the entries left, as the published code does. Gradient: grad_weight = grad_out
// for the entries left (times sign(weight[e]), sign(0) = 0, without keep_sign), 0 for those
// dropped. None to draws. Source: Gomez et al. 2019 (targeted dropout), as used in Wortsman,
// Farhadi, Rastegari 2019.
at::Tensor targeted_dropout(const at::Tensor& weight, int64_t candidates, bool per_row,
                            const std::optional<at::Tensor>& draws, double drop_rate,
                            bool keep_sign = true);

// A fixed random wiring.
//   d[e] = 0 if impossible[e], else draws[e]
//   mask[e] = d[e] > 0 and e is not among the `prune` smallest of d   (ties: the higher flat index
//             is pruned first)
// draws of any shape, floating, at least 0 (on CUDA others count as 0). impossible: bool of the
// same shape, nullopt for none; such entries count among the pruned. prune in [0, numel]. Returns
// bool of the shape of draws. Gradient: none. Source: Wortsman, Farhadi, Rastegari 2019, the static
// random baseline.
at::Tensor random_mask(const at::Tensor& draws, int64_t prune,
                       const std::optional<at::Tensor>& impossible = std::nullopt);

// `sparse` or `dense`: what `auto` is for a float32 layer of which `density` in [0, 1] is in use.
// The rates of both ways on the CPU are measured once a process, in some milliseconds; so two
// processes may differ where both are about as fast.
std::string faster_execution(double density, at::Device device = at::kCPU);

// A layer of which the edges in use alone are stored.
//   out[n, v, p] = bias[v] + sum over edges e from u to v of values[e] input[n, u, p]
// input [batch, in, *places], values [edges] in CSR order, bias [out] or none, all of one dtype;
// the structure is of `in` to `out` channels. Returns [batch, out, *places]. Half types are summed
// in float32. execution: `sparse`, `dense` (the same product with a dense matrix), or `auto`: what
// is faster here, by rates that are measured once a process; on CUDA, where measuring would wait
// for the device, by the density alone. Gradient: to input, values and bias, differentiable in
// turn. Bits are equal at equal execution, instruction set and, for `dense` maps of one place and
// for second derivatives, number of threads. On the CPU the structure is checked in full at every
// call, O(edges).
at::Tensor sparse_pointwise(const at::Tensor& input, const at::Tensor& values,
                            const std::optional<at::Tensor>& bias, const Structure& structure,
                            std::string_view execution = "auto");
// The same with the channels last: input [*, in], out [*, out].
at::Tensor sparse_linear(const at::Tensor& input, const at::Tensor& values,
                         const std::optional<at::Tensor>& bias, const Structure& structure,
                         std::string_view execution = "auto");

// A layer of which the structure names the candidates in use.
//   out[n, v, p] = bias[v] + sum over edges e from u to v of weight[v, u] input[n, u, p]
// weight [out, in] or [out, in, 1, 1]; all else as above.
// Gradient: to input and bias as above; to weight: `all`, straight-through to every candidate,
//   grad_weight[v, u] = sum over n, p of grad_out[n, v, p] input[n, u, p];
//           `kept`: that where there is an edge, else 0;
//           `candidates`: that where there is an edge, else gradient_rates[v] times that,
//   gradient_rates [out], an argument with this word alone. Where they are drawn anew at each step,
//   of mean 1 and mostly 0, the expected gradient is that of `all`; on the CPU outputs of rate 0
//   cost nothing, where execution is sparse.
// Source: Wortsman, Farhadi, Rastegari 2019, section 3.
at::Tensor wired_pointwise(const at::Tensor& input, const at::Tensor& weight,
                           const std::optional<at::Tensor>& bias, const Structure& structure,
                           std::string_view gradient = "all", std::string_view execution = "auto",
                           const std::optional<at::Tensor>& gradient_rates = std::nullopt);
// The same with the channels last: input [*, in], out [*, out].
at::Tensor wired_linear(const at::Tensor& input, const at::Tensor& weight,
                        const std::optional<at::Tensor>& bias, const Structure& structure,
                        std::string_view gradient = "all", std::string_view execution = "auto",
                        const std::optional<at::Tensor>& gradient_rates = std::nullopt);

// The gradient of a layer's candidates, of those outputs whose rate is not 0.
//   out[v, u] = rates[v] sum over n, p of grad_output[n, v, p] input[n, u, p]
// grad_output [batch, out, *places], input [batch, in, *places], rates [out], floating, of one
// dtype; without rates each is 1. Returns [out, in]. On the CPU an output of rate 0 costs nothing.
// Gradient: to grad_output and input, differentiable in turn; none to rates.
at::Tensor candidate_gradient(const at::Tensor& grad_output, const at::Tensor& input,
                              const std::optional<at::Tensor>& rates = std::nullopt);

// The candidates in use, and a matrix of them.
//   values[e] = weight[v, u] for the edge e from u to v        weight [out, in] or [out, in, 1, 1]
//   matrix[v, u] = values[e], 0 where there is no edge         [out, in]
// row_offsets [out + 1], columns [edges] as in Structure. Gradient: each is the other's.
at::Tensor edge_values(const at::Tensor& weight, const at::Tensor& row_offsets,
                       const at::Tensor& columns);
at::Tensor edge_matrix(const at::Tensor& values, const at::Tensor& row_offsets,
                       const at::Tensor& columns, const c10::SymInt& in);

// The blocks of a wired network that pass one state on: block i reads its own channels, and adds
// what it sends to all channels from its target on.
//   x = input, then channels of zeros up to `channels`
//   for each block i, with own channels c from ends[i - 1] (0 for the first) to ends[i]:
//     z_c = depthwise_c (3x3, padding 1) of max(norm_c(x_c), 0)
//     x_v += sum over edges from c to v of weight[v, columns - own + c] z_c,   v >= targets[i]
//   output = x_v of v >= the last target, which the last block may have as own channels too; it
//   reads them as they were before
// input [batch, at most channels, height, width], weight [channels, columns] or [.., .., 1, 1] with
// own = ends.back() <= columns; structure: of the weight, or none where every candidate is in use;
// depthwise [own, 1, 3, 3]; norm_weight, norm_bias [own]:
//   norm_c(x) = norm_weight_c (x - mean_c) / sqrt(variance_c + eps) + norm_bias_c
// norm: `instance`, the statistics of each image; `batch`, of all; `batch:<group>`, of all that the
// processes of a group have, as in sum_over_peers, on the CPU; `given`, the arguments mean and
// variance [own]. Variances are divided by the count; statistics of no numbers are NaN.
// An entry_stride of 1 and more begins with an entry, a block whose own channels e are all of the
// input, at least one. Then, with own = input's channels + ends.back() and the parameters and
// columns of the entry in front of those of the blocks,
//   z_e = depthwise_e (3x3, padding 1, that stride) of max(norm_e(input_e), 0)
//   x_v = sum over edges from e to v of weight[v, columns - own + e] z_e,   for every v
// and maps of x are of height and width over the stride, rounded up. ends and targets may be empty
// then: x is the output.
// Returns the output [batch, channels - last target, height, width] of x, mean and variance
// ([batch, own], [own], or empty where given; float32 for half types), and the state that backward
// needs, whose layout is not told. Without keep_state it is empty, as evaluation wants it: then
// there is no gradient, and asking for one is an error. Gradient: to input, weight (by `gradient`
// and gradient_rates [channels], as in wired_pointwise; to all where there is no structure; of
// candidates that no block reads, 0), depthwise and the norm's weights; not to given statistics;
// once. Bits are equal at equal execution, instruction set and number of threads. Source: Wortsman,
// Farhadi, Rastegari 2019, section 4.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> wired_blocks(
    const at::Tensor& input, const at::Tensor& weight, at::TensorList structure,
    const at::Tensor& depthwise, const at::Tensor& norm_weight, const at::Tensor& norm_bias,
    const std::optional<at::Tensor>& mean, const std::optional<at::Tensor>& variance,
    at::IntArrayRef ends, at::IntArrayRef targets, std::string_view norm = "instance",
    double eps = 1e-5, std::string_view gradient = "all", std::string_view execution = "auto",
    const std::optional<at::Tensor>& gradient_rates = std::nullopt, int64_t entry_stride = 0,
    bool keep_state = true);

// The sum of x over the processes of a group, in each of them.
//   out = sum over processes p of x_p
// x floating or int64, of one shape and dtype everywhere; group: the name of a process group of
// torch.distributed. All processes of the group call it as often, and backward too. Gradient:
// grad_x = sum over processes of grad_out, that of the sum of all processes' losses. Throws
// c10::Error where there is no such group, and what the group throws where a process is gone.
at::Tensor sum_over_peers(const at::Tensor& x, std::string_view group);

// A step of Dormand and Prince's pair of orders 5 and 4 for dx/dt = f(x), where
//   z_c = depthwise_c (3x3, padding 1) of max(x_c, 0)
//   s_v = sum over edges from c to v of weight[v, c] z_c
//   f(x)_v = norm_weight_v (s_v - mean) / sqrt(variance + eps) + norm_bias_v,   by each map's own
// With the slopes k_0 = slope, which is f(x), and k_i = f(x + step sum of a_ij k_j, j < i):
//   y = x + step sum of a_6j k_j,  slope_at_y = k_6 = f(y)
//   error = step sum of e_j k_j,  middle = x + step sum of m_j k_j, which is x half a step on
// x, slope [batch, channels, height, width]; weight [channels, channels] or [.., .., 1, 1], of
// which structure names the edges, or none where every candidate is in use; depthwise [channels, 1,
// 3, 3]; norm_weight, norm_bias [channels]; all of one dtype. Half types are computed in float32.
// Returns y, slope_at_y, error and, with_middle, the middle, else an empty tensor. Gradient: to x,
// slope, weight (by `gradient` and gradient_rates, as in wired_pointwise), depthwise and the norm's
// weights, from y, slope_at_y and middle; none to step; once. Between forward and backward x and
// slope are kept alone: backward evaluates f anew, six times. Bits are equal at equal execution,
// instruction set and number of threads. Source: Dormand and Prince 1980; e and m are those of
// torchdiffeq 0.2.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> wired_ode_step(
    const at::Tensor& x, const at::Tensor& slope, double step, const at::Tensor& weight,
    at::TensorList structure, const at::Tensor& depthwise, const at::Tensor& norm_weight,
    const at::Tensor& norm_bias, double eps = 1e-5, std::string_view gradient = "all",
    std::string_view execution = "auto",
    const std::optional<at::Tensor>& gradient_rates = std::nullopt, bool with_middle = false);

// The levels of a graph of neurons.
//   level(v) = 0 for inputs, else 1 + the largest level of the sources of v; 1 without sources
// sources, targets [edges], inputs [any], int32 or int64: numbers of neurons below num_neurons.
// operations [neurons], nullopt for none: neurons of the same id, which is not -1, wait for one
// another, and have the level of the last. Returns levels [neurons] and a cycle [neurons], int32:
// the neurons of one, in the order of its edges, then -1; of -1 alone where there is none. Neurons
// that a cycle keeps waiting have the level -1. Gradient: none. O(neurons + edges), on the host.
std::tuple<at::Tensor, at::Tensor> neuron_levels(
    const at::Tensor& sources, const at::Tensor& targets, int64_t num_neurons,
    const at::Tensor& inputs, const std::optional<at::Tensor>& operations = std::nullopt);

// A graph of neurons in the order in which it is computed: a neuron's place in it is its position.
// Level by level; inputs first, in their order; in a level by number, softmax neurons last. All
// int32. The number of a neuron, and of an edge, is its place in the caller's lists.
struct NeuronStructure {
  at::Tensor neurons;         // [neurons] number of the neuron at each position
  at::Tensor activations;     // [neurons] kernels::Activation, by position
  at::Tensor level_offsets;   // [neurons + 1] positions of level l are level_offsets[l] .. [l + 1];
                              // levels beyond the last are empty
  at::Tensor row_offsets;     // [neurons + 1] edges into a position
  at::Tensor columns;         // [edges] the positions of their sources, which ascend in a row
  at::Tensor edges;           // [edges] their numbers
  at::Tensor column_offsets;  // [neurons + 1] edges out of a position, in the transpose
  at::Tensor rows;            // [edges] the positions of their targets, which ascend in a column
  at::Tensor order;    // [edges] order[j] = place among the rows of the transpose's j-th edge
  at::Tensor outputs;  // [outputs] positions
};

// levels [neurons] of neuron_levels; activations [neurons]: 0 linear, 1 relu, 2 selu, 3 leaky relu
// of slope 0.01, 4 sigmoid, 5 softmax over the neurons of a level that have it, 6 gelu in its tanh
// form, 7 tanh, 8 silu, 9 gelu, 10 elu, 11 softplus; outputs: any neurons. Gradient: none.
// O(neurons + edges), on the host.
NeuronStructure neuron_structure(const at::Tensor& sources, const at::Tensor& targets,
                                 const at::Tensor& levels, const at::Tensor& activations,
                                 const at::Tensor& inputs, const at::Tensor& outputs);

// A directed acyclic graph of neurons, on a batch of samples.
//   y_v = keep_v act_v(bias_v + sum over edges e from u to v of weight_e y_u),  keep_v input for
//   inputs
// input [batch, inputs], weight [edges], bias [neurons], whose entries for inputs are not used, all
// of one dtype; half types are computed in float32. mask [edges], bool: the edges in use, whose
// weights count; others count as 0, and cost nothing on the CPU. keep [batch, neurons], bool: what
// dropout leaves; what is left is not scaled. Returns the output [batch, outputs] and the state
// that backward needs, whose layout is not told; empty without keep_state: then there is no
// gradient, and asking for one is an error. Gradient: to input, bias and weight: of edges not in
// use as if they were, straight-through, with gradient `all`, else, with `kept`, 0; once. On the
// CPU the structure is checked at every call. Bits are the same at every number of threads. Source:
// Wortsman, Farhadi, Rastegari 2019, section 3, for the mask's gradient.
std::tuple<at::Tensor, at::Tensor> neuron_graph(
    const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
    const NeuronStructure& structure, const std::optional<at::Tensor>& mask = std::nullopt,
    const std::optional<at::Tensor>& keep = std::nullopt, std::string_view gradient = "all",
    bool keep_state = true);

}  // namespace rewire::ops
