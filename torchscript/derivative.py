# dx/dt of the classifier in continuous time: a step, then a normalisation by image.
# x [batch, dim, m, m] -> the same. candidates, structure and rates: of self.graph, chosen once a
# forward.
def forward(self, x: Tensor, candidates: Tensor, structure: List[Tensor], rates: Optional[Tensor]) -> Tensor:
    return self.norm.forward(self.step(x, candidates, structure, rates, False))


# A solver's step from x on, of the same dx/dt, which is `slope` there: see rewire.wired_ode_step.
# Returns its end, the slope and the error there, and its middle, which is empty if not asked for.
def advance(
    self,
    x: Tensor,
    slope: Tensor,
    step: float,
    candidates: Tensor,
    structure: List[Tensor],
    rates: Optional[Tensor],
    with_middle: bool,
) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    return rewire.wired_ode_step(
        x,
        slope,
        step,
        candidates,
        structure,
        self.conv.weight,
        self.norm.weight,
        self.norm.bias,
        1e-5,
        self.graph.gradient,
        self.execution,
        rates,
        with_middle,
    )
