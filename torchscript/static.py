# The static classifier: one matrix of candidate edges [dim, dim, 1, 1], read block by block.
# Block i sends channels [begins[i], ends[i]) to all channels from targets[i] on.
# image [batch, channels, size, size] -> logits [batch, classes]
def forward(self, image: Tensor) -> Tensor:
    x = self.downsample.forward(image)  # [batch, downsample_dim, m, m]
    x = torch.cat([x, self.zeros.expand(x.size(0), -1, -1, -1)], 1)  # [batch, dim, m, m]
    weight = self.graph.effective_weight()  # chosen once a forward
    # repeat i = 0 .. blocks - 1
    own, rest = torch.split(x, [self.ends[$i] - self.begins[$i], self.dim - self.ends[$i]], 1)
    sent = self.block(getattr(self.norm, "$i").forward(own), weight, $i)
    x = self.accumulate(own, rest, sent)  # channels from targets[$i] on
    # end
    return self.fc.forward(self.pool.forward(x))


# x [batch, ends[i] - begins[i], m, m] -> what it sends, [batch, dim - targets[i], m, m]
def block(self, x: Tensor, weight: Tensor, i: int) -> Tensor:
    begin = self.begins[i]
    end = self.ends[i]
    x = torch.conv2d(torch.relu(x), self.conv.weight[begin:end], None, [1, 1], [1, 1], [1, 1], end - begin)
    return torch.conv2d(x, weight[self.targets[i] :, begin:end])


# The last block writes to channels that it also reads: there the old values are among its own.
def accumulate(self, own: Tensor, rest: Tensor, sent: Tensor) -> Tensor:
    if rest.size(1) == 0:
        return own[:, own.size(1) - sent.size(1) :] + sent
    return rest + sent
