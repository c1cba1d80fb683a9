# Edges that were chosen once, for evaluation: weight [out, in, 1, 1], 0 where there is none, and the
# structure of its edges, as rewire.select gives it.
def candidates(self) -> Tensor:
    return self.weight


def effective(self) -> Tensor:
    return self.weight


def structure(self) -> List[Tensor]:
    return [self.row_offsets, self.columns, self.column_offsets, self.rows, self.order]


def edges(self) -> Tensor:
    ones = torch.ones_like(self.columns).to(self.weight)
    edges = rewire.edge_matrix(ones, self.row_offsets, self.columns, self.weight.size(1)) != 0
    return edges.unsqueeze(2).unsqueeze(3)
