#include "train/forward.h"

#include <torch/torch.h>

#include <cmath>

#include "error.h"

namespace rewire::train {
namespace {

// Throws NumberError where the images or the model's tensors are not finite.
void refuse_not_finite(const models::Model& model, const at::Tensor& images,
                       const std::string& where) {
  if (!images.isfinite().all().item<bool>()) throw NumberError("input is not finite: " + where);
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    if (tensor.is_floating_point() && !tensor.isfinite().all().item<bool>()) {
      throw NumberError(name + " is not finite: " + where);
    }
  }
}

}  // namespace

Forward forward(models::Model& model, const data::Batch& batch, const std::string& where) {
  Forward result;
  try {
    result.logits = model.module.forward({batch.images}).toTensor();
    result.loss = at::cross_entropy_loss(result.logits, batch.labels);
  } catch (const std::exception&) {  // selection refuses NaN weights: name the culprit
    refuse_not_finite(model, batch.images, where);
    throw;
  }
  result.value = result.loss.item<double>();
  if (!std::isfinite(result.value)) {
    refuse_not_finite(model, batch.images, where);
    throw NumberError("the loss is not finite: " + where);
  }
  return result;
}

}  // namespace rewire::train
