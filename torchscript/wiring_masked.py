# A fixed set of edges: mask [out, in, k, k], 1 where in use.
# candidates [out, in, k, k]; effective: those in use, 0 elsewhere; structure, where k = 1: the five
# tensors of rewire.select, of the mask's ones; edges: bool, of the candidates' shape.
def candidates(self) -> Tensor:
    return self.weight


def effective(self) -> Tensor:
    return self.weight * self.mask


def structure(self) -> List[Tensor]:
    keep = int(torch.count_nonzero(self.mask).item())
    row_offsets, columns, column_offsets, rows, order, threshold = rewire.select(self.mask, keep)
    return [row_offsets, columns, column_offsets, rows, order]


def edges(self) -> Tensor:
    return self.mask != 0
