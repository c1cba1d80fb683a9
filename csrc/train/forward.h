// A network's answer to a batch, refused where it is no number.
#pragma once

#include <string>

#include "data/batch.h"
#include "models/model.h"

namespace rewire::train {

struct Forward {
  at::Tensor logits;  // [batch, classes]
  at::Tensor loss;    // 0-d: cross-entropy, the mean over the batch
  double value = 0;   // of the loss
};

// Throws NumberError, "<culprit> is not finite: <where>", for a loss that is infinite or NaN: the
// culprit is the input, a parameter or buffer by name, or else the loss.
Forward forward(models::Model& model, const data::Batch& batch, const std::string& where);

}  // namespace rewire::train
