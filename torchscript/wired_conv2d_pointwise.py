# A convolution of single places whose weights are the candidates of a rule; sparse, it multiplies with
# those in use alone. weight [out, in, 1, 1]; x [batch, in, h, w] -> [batch, out, h', w']
def forward(self, x: Tensor) -> Tensor:
    if self.execution == "dense":
        return torch.conv2d(x, self.effective(), None, [self.stride, self.stride])
    if self.stride > 1:
        x = x[:, :, :: self.stride, :: self.stride]
    structure = self.structure()
    if len(structure) == 0:
        return torch.conv2d(x, self.effective())
    return rewire.wired_pointwise(
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
