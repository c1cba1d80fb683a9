def forward(self, x: Tensor) -> Tensor:
    return torch.relu(x)
