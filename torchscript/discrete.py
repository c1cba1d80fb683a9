# The classifier in discrete time: the same wired layer at every step, and between two of them a
# normalisation by image. All candidates [dim, dim, 1, 1] can be in use.
# image [batch, channels, size, size] -> logits [batch, classes]
def forward(self, image: Tensor) -> Tensor:
    x = self.downsample.forward(image)  # [batch, downsample_dim, m, m]
    x = torch.cat([x, self.zeros.expand(x.size(0), -1, -1, -1)], 1)  # [batch, dim, m, m]
    structure = self.graph.structure()
    rates = self.graph.gradient_rates()
    for i in range(self.steps):
        x = self.step(x, self.graph.candidates(), structure, rates, i > 0)
    return self.fc.forward(self.pool.forward(self.norm.forward(x)[:, -self.features :]))
