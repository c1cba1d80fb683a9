# Every candidate edge is in use.
# candidates, effective [out, in, k, k]; structure: empty, there is nothing to leave out; edges: bool,
# of the candidates' shape.
def candidates(self) -> Tensor:
    return self.weight


def effective(self) -> Tensor:
    return self.weight


def structure(self) -> List[Tensor]:
    every: List[Tensor] = []
    return every


def edges(self) -> Tensor:
    return torch.ones_like(self.weight) != 0
