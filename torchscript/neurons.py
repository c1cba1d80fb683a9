# A graph of single neurons: weights of its candidate edges in self.graph [1, edges, 1, 1], bias
# [neurons], whose entries for inputs are not used, and the structure of rewire.neuron_structure.
# image [batch, channels, size, size] -> logits [batch, classes]
def forward(self, image: Tensor) -> Tensor:
    used: Optional[Tensor] = None
    if self.chooses:
        used = self.graph.edges().flatten()
    output, state = rewire.neuron_graph(
        image.flatten(1),
        self.graph.candidates().flatten(),
        self.bias,
        [
            self.neurons,
            self.activations,
            self.level_offsets,
            self.row_offsets,
            self.columns,
            self.edges,
            self.column_offsets,
            self.rows,
            self.order,
            self.outputs,
        ],
        used,
        None,
        self.graph.gradient,
        torch.is_grad_enabled(),
    )
    return output
