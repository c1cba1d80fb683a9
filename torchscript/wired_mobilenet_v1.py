# image [batch, channels, size, size] -> logits [batch, classes]
def forward(self, image: Tensor) -> Tensor:
    x = self.layers.forward(self.conv1.forward(image))
    return self.linear.forward(torch.mean(torch.relu(self.bn.forward(x)), [2, 3]))
