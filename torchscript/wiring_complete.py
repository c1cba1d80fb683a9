# Every candidate edge is in use.
# effective_weight [out, in, 1, 1]; edges: the same shape, bool.
def effective_weight(self) -> Tensor:
    return self.weight


def edges(self) -> Tensor:
    return torch.ones_like(self.weight) != 0
