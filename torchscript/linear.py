# weight [out, in], bias [out]; x [batch, in] -> [batch, out]
def forward(self, x: Tensor) -> Tensor:
    return torch.linear(x, self.weight, self.bias)
