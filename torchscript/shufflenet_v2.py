# image [batch, channels, size, size] -> logits [batch, classes]
def forward(self, image: Tensor) -> Tensor:
    x = torch.max_pool2d(self.conv1.forward(image), [3, 3], [2, 2], [1, 1])
    x = self.stage4.forward(self.stage3.forward(self.stage2.forward(x)))
    return self.fc.forward(torch.mean(self.conv5.forward(x), [2, 3]))
