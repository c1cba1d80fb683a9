# A wired layer; bias [out] or None. x [batch, in] -> [batch, out]
def forward(self, x: Tensor) -> Tensor:
    weight = self.graph.candidates()
    structure = self.graph.structure()
    if len(structure) == 0:
        return torch.linear(x, weight.flatten(1), self.bias)
    return rewire.wired_linear(
        x,
        weight,
        self.bias,
        structure[0],
        structure[1],
        structure[2],
        structure[3],
        structure[4],
        self.graph.gradient,
        self.execution,
        self.graph.gradient_rates(),
    )
