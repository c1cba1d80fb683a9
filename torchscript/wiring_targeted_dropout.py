# The `candidates` weakest edges, of each output or of all, are dropped: in training each with
# probability drop_rate, in evaluation all of them.
# effective_weight [out, in, 1, 1]; edges: the same shape, bool.
def effective_weight(self) -> Tensor:
    draws: Optional[Tensor] = None
    if self.training:
        draws = torch.rand_like(self.weight)
    return rewire.targeted_dropout(
        self.weight, self.candidates, self.per_row, draws, self.drop_rate, self.keep_sign
    )


# The candidates are those that evaluation drops; an edge of weight 0 carries nothing either way.
def edges(self) -> Tensor:
    return rewire.targeted_dropout(self.weight, self.candidates, self.per_row, None, 1.0, True) != 0
