// The list of operators. Signatures are called from outside: they may gain optional arguments at
// the end, nothing else. Contracts are in rewire.h; kernels are registered beside each
// implementation, in the file named after the op.
#include <torch/library.h>

TORCH_LIBRARY(rewire, m) {
  // The keep strongest entries of a weight as CSR, its transpose and the permutation between them.
  // `hint` is a tensor and not a number: a number would make a device wait for its own threshold.
  m.def(
      "select(Tensor weight, int keep, Tensor? hint=None) -> (Tensor row_offsets, Tensor columns, "
      "Tensor column_offsets, Tensor rows, Tensor order, Tensor threshold)");

  // The same choice as a mask, and as a dense effective weight. `gradient` is a word, all or kept,
  // because a third way (to those newly kept, say) is thinkable. The backward op serves `kept`
  // alone: for `all` the gradient passes as it is.
  m.def("strongest_mask(Tensor weight, int keep) -> Tensor");
  m.def("keep_strongest(Tensor weight, int keep, str gradient=\"all\") -> Tensor");
  m.def("keep_strongest_backward(Tensor grad_output, Tensor mask) -> Tensor");

  // Targeted dropout, by row and over the whole weight. The mask of what is left is an op of its
  // own, because backward needs it: an entry that is 0 may have been left as well as dropped.
  m.def(
      "targeted_dropout(Tensor weight, int candidates, bool per_row, Tensor? draws, "
      "float drop_rate, bool keep_sign=True) -> Tensor");
  m.def(
      "targeted_dropout_mask(Tensor weight, int candidates, bool per_row, Tensor? draws, "
      "float drop_rate) -> Tensor");
  m.def(
      "targeted_dropout_backward(Tensor grad_output, Tensor weight, Tensor mask, bool keep_sign) "
      "-> Tensor");

  // The mask of a static random wiring, from draws that the caller made: ops draw nothing.
  m.def("random_mask(Tensor draws, int prune, Tensor? impossible=None) -> Tensor");

  // Layers whose edges are data: of the edges alone, and of candidates that a structure chooses
  // from.
  m.def(
      "sparse_linear(Tensor input, Tensor values, Tensor? bias, Tensor row_offsets, "
      "Tensor columns, Tensor column_offsets, Tensor rows, Tensor order, "
      "str execution=\"auto\") -> Tensor");
  m.def(
      "sparse_pointwise(Tensor input, Tensor values, Tensor? bias, Tensor row_offsets, "
      "Tensor columns, Tensor column_offsets, Tensor rows, Tensor order, "
      "str execution=\"auto\") -> Tensor");
  m.def(
      "sparse_pointwise_backward(Tensor grad_output, Tensor input, Tensor values, "
      "Tensor row_offsets, Tensor columns, Tensor column_offsets, Tensor rows, Tensor order, "
      "bool to_input, bool to_values, str execution=\"auto\") "
      "-> (Tensor grad_input, Tensor grad_values)");
  m.def(
      "wired_linear(Tensor input, Tensor weight, Tensor? bias, Tensor row_offsets, "
      "Tensor columns, Tensor column_offsets, Tensor rows, Tensor order, "
      "str gradient=\"all\", str execution=\"auto\", "
      "Tensor? gradient_rates=None) -> Tensor");
  m.def(
      "wired_pointwise(Tensor input, Tensor weight, Tensor? bias, Tensor row_offsets, "
      "Tensor columns, Tensor column_offsets, Tensor rows, Tensor order, "
      "str gradient=\"all\", str execution=\"auto\", "
      "Tensor? gradient_rates=None) -> Tensor");

  // The gradient that `candidates` gives to edges not in use: an op, since how much of it there is
  // to compute is data.
  m.def("candidate_gradient(Tensor grad_output, Tensor input, Tensor? rates=None) -> Tensor");

  // From candidates to edges and back: what the wired layers are made of, and their gradient
  // `kept`.
  m.def("edge_values(Tensor weight, Tensor row_offsets, Tensor columns) -> Tensor");
  m.def(
      "edge_matrix(Tensor values, Tensor row_offsets, Tensor columns, SymInt in_channels) -> "
      "Tensor");

  // Blocks of normalisation, ReLU, depthwise 3x3 convolution and wired layer over one state, in one
  // op: between them the state stays in the cache. The structure is a list, which is empty where
  // every candidate is in use. mean and variance are outputs where they are no arguments, so that
  // the caller may keep running ones; state is what backward needs.
  m.def(
      "wired_blocks(Tensor input, Tensor weight, Tensor[] structure, Tensor depthwise, "
      "Tensor norm_weight, Tensor norm_bias, Tensor? mean, Tensor? variance, int[] ends, "
      "int[] targets, str norm=\"instance\", float eps=1e-05, str gradient=\"all\", "
      "str execution=\"auto\", Tensor? gradient_rates=None, int entry_stride=0, "
      "bool keep_state=True) "
      "-> (Tensor output, Tensor mean_of, Tensor variance_of, Tensor state)");
  m.def(
      "wired_blocks_backward(Tensor grad_output, Tensor weight, Tensor[] structure, "
      "Tensor depthwise, Tensor norm_weight, Tensor norm_bias, Tensor mean, Tensor variance, "
      "Tensor state, Tensor input, int[] ends, int[] targets, str norm, float eps, "
      "str gradient, str execution, Tensor? gradient_rates, int entry_stride) "
      "-> (Tensor grad_input, Tensor grad_weight, Tensor grad_depthwise, Tensor grad_norm_weight, "
      "Tensor grad_norm_bias)");

  // What several processes add up, for the statistics of a batch that they share: torch's own has no
  // derivative. A group is a name, as in torch's functional collectives.
  m.def("sum_over_peers(Tensor x, str group) -> Tensor");

  // A step of a solver whose derivative is one such layer and a norm, in one op so that backward
  // can be given its start alone: TorchScript cannot compute anew what it did not keep. The control
  // of steps is the caller's. The middle is an output for the last step of a solution, which reads
  // its end off a polynomial.
  m.def(
      "wired_ode_step(Tensor x, Tensor slope, float step, Tensor weight, Tensor[] structure, "
      "Tensor depthwise, Tensor norm_weight, Tensor norm_bias, float eps=1e-05, "
      "str gradient=\"all\", str execution=\"auto\", Tensor? gradient_rates=None, "
      "bool with_middle=False) -> (Tensor y, Tensor slope_at_y, Tensor error, Tensor middle)");
  m.def(
      "wired_ode_step_backward(Tensor? grad_y, Tensor? grad_slope_at_y, Tensor? grad_middle, "
      "Tensor x, Tensor slope, float step, Tensor weight, Tensor[] structure, Tensor depthwise, "
      "Tensor norm_weight, Tensor norm_bias, float eps, str gradient, str execution, "
      "Tensor? gradient_rates) "
      "-> (Tensor grad_x, Tensor grad_slope, Tensor grad_weight, Tensor grad_depthwise, "
      "Tensor grad_norm_weight, Tensor grad_norm_bias)");

  // Graphs of neurons. The structure is a list, in the order of NeuronStructure; where a graph has
  // a cycle the levels stop, and the cycle is an output of fixed size, for its size is data.
  m.def(
      "neuron_levels(Tensor sources, Tensor targets, int num_neurons, Tensor inputs, "
      "Tensor? operations=None) -> (Tensor levels, Tensor cycle)");
  m.def(
      "neuron_structure(Tensor sources, Tensor targets, Tensor levels, Tensor activations, "
      "Tensor inputs, Tensor outputs) -> (Tensor neurons, Tensor activations_of, "
      "Tensor level_offsets, Tensor row_offsets, Tensor columns, Tensor edges, "
      "Tensor column_offsets, Tensor rows, Tensor order, Tensor outputs_of)");
  m.def(
      "neuron_graph(Tensor input, Tensor weight, Tensor bias, Tensor[] structure, "
      "Tensor? mask=None, Tensor? keep=None, str gradient=\"all\", bool keep_state=True) "
      "-> (Tensor output, Tensor state)");
  m.def(
      "neuron_graph_backward(Tensor grad_output, Tensor weight, Tensor[] structure, Tensor state, "
      "Tensor? mask, str gradient, SymInt num_inputs, bool to_input, bool to_weight) "
      "-> (Tensor grad_input, Tensor grad_weight, Tensor grad_bias)");
}
