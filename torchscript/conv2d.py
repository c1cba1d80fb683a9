# weight [out, in / groups, k, k], bias [out] or None; x [batch, in, h, w] -> [batch, out, h', w']
def forward(self, x: Tensor) -> Tensor:
    return torch.conv2d(
        x, self.weight, self.bias, [self.stride, self.stride], [self.padding, self.padding], [1, 1], self.groups
    )
