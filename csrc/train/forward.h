// A network's answer to a batch, refused where it is no number.
#pragma once

#include <string>

#include "models/model.h"

namespace rewire::train {

// How an answer is computed, and what it is held against.
struct Pass {
  std::string precision = "float32";   // or bfloat16: torch's autocast; parameters stay as they are
  std::string loss = "cross_entropy";  // or mse, l1, huber: means over all elements, delta 1
  double label_smoothing = 0;  // of cross-entropy: the part of a target that all classes share
};

struct Forward {
  at::Tensor logits;  // [batch, classes] float32
  at::Tensor loss;    // 0-d: the mean over the batch
  double value = 0;   // of the loss
};

// images and targets: on any device, the logits on the model's.
// targets: labels [batch] int64, or probabilities [batch, classes]; of another loss than
// cross-entropy, numbers [batch, outputs].
// cross-entropy = (1 - s) x sum(-target log p) + s x mean(-log p), s the label smoothing
// Throws NumberError, "<culprit> is not finite: <where>", for a loss that is infinite or NaN: the
// culprit is the input, a parameter or buffer by name, or else the loss.
Forward forward(models::Model& model, const at::Tensor& images, const at::Tensor& targets,
                const Pass& pass, const std::string& where);

}  // namespace rewire::train
