# One step of a network whose channels may all send to all: of max(x, 0), x normalised by image before
# where `normalised`, a depthwise 3x3 convolution, then the wired layer.
# x [batch, dim, m, m] -> the same. candidates, structure and rates: of self.graph.
def step(
    self, x: Tensor, candidates: Tensor, structure: List[Tensor], rates: Optional[Tensor], normalised: bool
) -> Tensor:
    none: List[int] = []  # no blocks behind the entry
    weight = self.norm.weight
    bias = self.norm.bias
    mean: Optional[Tensor] = None
    variance: Optional[Tensor] = None
    norm = "instance"
    eps = 1e-5
    if not normalised:  # (x - 0) / sqrt(1 + 0) * 1 + 0
        weight = torch.ones_like(weight)
        bias = torch.zeros_like(bias)
        mean = bias
        variance = weight
        norm = "given"
        eps = 0.0
    out, mean_of, variance_of, state = rewire.wired_blocks(
        x,
        candidates,
        structure,
        self.conv.weight,
        weight,
        bias,
        mean,
        variance,
        none,
        none,
        norm,
        eps,
        self.graph.gradient,
        self.execution,
        rates,
        1,
        torch.is_grad_enabled(),
    )
    return out
