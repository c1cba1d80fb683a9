# dx/dt of the classifier in continuous time: a step, then a normalisation by image.
# x [batch, dim, m, m] -> the same. structure and rates: of self.graph, chosen once a forward.
def forward(self, x: Tensor, structure: List[Tensor], rates: Optional[Tensor]) -> Tensor:
    return self.norm.forward(self.step(x, structure, rates, False))
