# A convolution whose weights are the candidates of a rule, computed dense: those not in use are 0.
# weight [out, in, k, k]; x [batch, in, h, w] -> [batch, out, h', w']
def forward(self, x: Tensor) -> Tensor:
    return torch.conv2d(
        x, self.effective(), None, [self.stride, self.stride], [self.padding, self.padding]
    )
