# The static classifier: one matrix of candidate edges [dim, dim, 1, 1], read block by block.
# Block i sends channels from ends[i - 1] (0 for the first) to ends[i] to all channels from targets[i]
# on; the last block's targets are the classifier's features.
# image [batch, channels, size, size] -> logits [batch, classes]
def forward(self, image: Tensor) -> Tensor:
    x = self.downsample.forward(image)  # [batch, downsample_dim, m, m]
    structure = self.graph.structure()  # chosen once a forward
    norm_weights: List[Tensor] = []
    norm_biases: List[Tensor] = []
    # repeat i = 0 .. blocks - 1
    norm_weights.append(getattr(self.norm, "$i").weight)
    norm_biases.append(getattr(self.norm, "$i").bias)
    # end
    x, mean, variance, state = rewire.wired_blocks(
        x,
        self.graph.candidates(),
        structure,
        self.conv.weight,
        torch.cat(norm_weights),
        torch.cat(norm_biases),
        None,
        None,
        self.ends,
        self.targets,
        "instance",
        1e-5,
        self.graph.gradient,
        self.execution,
        self.graph.gradient_rates(),
        keep_state=torch.is_grad_enabled(),
    )  # [batch, feature_dim, m, m]
    return self.fc.forward(self.pool.forward(x))
