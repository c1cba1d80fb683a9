# The `keep` strongest candidates are in use, chosen anew at each call.
# effective_weight [out, in, 1, 1]; edges: the same shape, bool.
def effective_weight(self) -> Tensor:
    return rewire.keep_strongest(self.weight, self.keep, self.gradient)


def edges(self) -> Tensor:
    return rewire.strongest_mask(self.weight, self.keep)
