# image [batch, channels, size, size] -> logits [batch, classes]
def forward(self, image: Tensor) -> Tensor:
    x = torch.relu(self.bn1.forward(self.conv1.forward(image)))
    x = torch.max_pool2d(x, [3, 3], [2, 2], [1, 1])
    x = self.layer2.forward(self.layer1.forward(x))
    x = self.layer4.forward(self.layer3.forward(x))
    return self.fc.forward(torch.mean(x, [2, 3]))
