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
}
