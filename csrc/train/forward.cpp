#include "train/forward.h"

#include <ATen/autocast_mode.h>
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

// While it lives, torch's autocast to bfloat16 where `precision` says so. Nothing is kept of the
// weights in that type: they change between two passes.
class Autocast {
 public:
  Autocast(const std::string& precision, at::DeviceType device)
      : device_(device),
        enabled_(at::autocast::is_autocast_enabled(device)),
        cached_(at::autocast::is_autocast_cache_enabled()),
        type_(at::autocast::get_autocast_dtype(device)) {
    at::autocast::set_autocast_enabled(device, precision == "bfloat16");
    at::autocast::set_autocast_cache_enabled(false);
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(device_, enabled_);
    at::autocast::set_autocast_cache_enabled(cached_);
    at::autocast::set_autocast_dtype(device_, type_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  const at::DeviceType device_;
  const bool enabled_, cached_;
  const at::ScalarType type_;
};

at::Tensor loss_of(const at::Tensor& answer, const at::Tensor& targets, const Pass& pass) {
  if (targets.size(0) == 0) return answer.sum();  // of no images: 0, with a gradient of zeros
  if (pass.loss == "mse") return at::mse_loss(answer, targets);
  if (pass.loss == "l1") return at::l1_loss(answer, targets);
  if (pass.loss == "huber") return at::huber_loss(answer, targets);
  return at::cross_entropy_loss(answer, targets, /*weight=*/{}, at::Reduction::Mean,
                                /*ignore_index=*/-100, pass.label_smoothing);
}

}  // namespace

Forward forward(models::Model& model, const at::Tensor& images, const at::Tensor& targets,
                const Pass& pass, const std::string& where) {
  Forward result;
  try {
    {
      const Autocast autocast(pass.precision, model.device.type());
      result.logits = model.module.forward({images.to(model.device)}).toTensor().to(at::kFloat);
    }
    result.loss = loss_of(result.logits, targets.to(model.device), pass);
  } catch (const std::exception&) {  // selection refuses NaN weights: name the culprit
    refuse_not_finite(model, images, where);
    throw;
  }
  result.value = result.loss.item<double>();
  if (!std::isfinite(result.value)) {
    refuse_not_finite(model, images, where);
    throw NumberError("the loss is not finite: " + where);
  }
  return result;
}

}  // namespace rewire::train
