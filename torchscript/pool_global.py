# The mean over the map. x [batch, channels, m, m] -> [batch, channels]
def forward(self, x: Tensor) -> Tensor:
    return torch.mean(x, [2, 3])
