# A convolution of a single place, as a linear layer. weight [classes, in, 1, 1], the candidates of a
# rule; x [batch, in] -> [batch, classes]
def forward(self, x: Tensor) -> Tensor:
    if self.execution == "dense":
        return torch.linear(x, self.effective().flatten(1))
    structure = self.structure()
    if len(structure) == 0:
        return torch.linear(x, self.effective().flatten(1))
    return rewire.wired_linear(
        x,
        self.weight,
        None,
        structure[0],
        structure[1],
        structure[2],
        structure[3],
        structure[4],
        self.gradient,
        self.execution,
        self.gradient_rates(),
    )
