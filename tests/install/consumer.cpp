// consumer MODEL: calls an operator, then runs a model that `rewire export` wrote on a blank image.
#include <rewire/ops.h>
#include <torch/script.h>

#include <iostream>

int main(int, char** arguments) {
  const at::Tensor weight = at::tensor({1.0f, -3.0f, 2.0f, 0.5f}).view({2, 2});
  std::cout << rewire::ops::keep_strongest(weight, 2).sum().item<float>() << '\n';

  torch::jit::Module model = torch::jit::load(arguments[1]);
  model.eval();
  std::cout << model.forward({at::zeros({1, 1, 8, 8})}).toTensor().sizes() << '\n';
}
