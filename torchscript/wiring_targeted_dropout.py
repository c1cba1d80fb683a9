# The `weakest` candidates, of each output or of all, are dropped: in training each with probability
# drop_rate, in evaluation all of them.
# candidates [out, in, k, k], 0 where dropped, which are the effective ones too; structure: empty, how
# many are left is chance; edges: bool, of the candidates' shape.
def candidates(self) -> Tensor:
    draws: Optional[Tensor] = None
    if self.training:
        draws = torch.rand_like(self.weight)
    return rewire.targeted_dropout(
        self.weight, self.weakest, self.per_row, draws, self.drop_rate, self.keep_sign
    )


def effective(self) -> Tensor:
    return self.candidates()


def structure(self) -> List[Tensor]:
    every: List[Tensor] = []
    return every


# Those that evaluation drops are not among them; an edge of weight 0 carries nothing either way.
def edges(self) -> Tensor:
    return rewire.targeted_dropout(self.weight, self.weakest, self.per_row, None, 1.0, True) != 0
