# A fixed set of edges: mask [out, in, 1, 1], 1 where in use.
# effective_weight [out, in, 1, 1]; edges: the same shape, bool.
def effective_weight(self) -> Tensor:
    return self.mask * self.weight


def edges(self) -> Tensor:
    return self.mask != 0
