# The `keep` strongest candidates are in use, chosen anew at each call.
# candidates [out, in, k, k]; effective: those in use, 0 elsewhere; structure, where k = 1: the five
# tensors of rewire.select; edges: bool, of the candidates' shape.
def candidates(self) -> Tensor:
    return self.weight


def effective(self) -> Tensor:
    return rewire.keep_strongest(self.weight, self.keep, self.gradient)


def structure(self) -> List[Tensor]:
    row_offsets, columns, column_offsets, rows, order, threshold = rewire.select(self.weight, self.keep)
    return [row_offsets, columns, column_offsets, rows, order]


def edges(self) -> Tensor:
    return rewire.strongest_mask(self.weight, self.keep)
