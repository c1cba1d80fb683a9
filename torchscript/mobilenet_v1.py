# image [batch, channels, size, size] -> logits [batch, classes]
def forward(self, image: Tensor) -> Tensor:
    x = torch.relu(self.bn1.forward(self.conv1.forward(image)))
    return self.linear.forward(torch.mean(self.layers.forward(x), [2, 3]))
