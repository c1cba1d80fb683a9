# Edges that were chosen once, of a convolution that is computed dense: weight [out, in, k, k], 0 where
# there is none.
def candidates(self) -> Tensor:
    return self.weight


def effective(self) -> Tensor:
    return self.weight


def structure(self) -> List[Tensor]:
    every: List[Tensor] = []
    return every


def edges(self) -> Tensor:
    return self.weight != 0
