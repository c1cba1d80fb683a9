// What the `training` section of an experiment says. Plain data: filled by config, used by
// training.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rewire::config {

struct OptimizerDescription {
  std::string kind;  // sgd, adam, adamw
  double lr = 0;
  double weight_decay = 0;
  double momentum = 0;                       // sgd
  bool nesterov = false;                     // sgd
  std::vector<double> betas = {0.9, 0.999};  // adam, adamw
  double eps = 1e-8;                         // adam, adamw
  std::vector<std::string> no_decay;         // parts of the names of parameters without decay
};

struct ScheduleDescription {
  std::string kind = "constant";    // constant, multistep, cosine, exponential, linear
  std::string per = "iteration";    // cosine, linear: the rate changes every "iteration" or "epoch"
  std::vector<int64_t> milestones;  // multistep: epochs, ascending
  double gamma = 0.1;               // multistep, exponential: factor
  int64_t warmup_epochs = 0;        // the rate first rises linearly for that many epochs
};

struct TrainingDescription {
  int64_t epochs = 0;
  int64_t batch_size = 0;
  int64_t test_batch_size = 0;         // 0: as batch_size
  bool drop_last = false;              // of an epoch, the images that fill no batch
  bool sync_batchnorm = false;         // statistics of what all processes have, not of each one's
  int64_t accumulate = 1;              // batches whose gradients make a step
  std::string precision = "float32";   // of what is computed: float32, bfloat16
  std::string loss = "cross_entropy";  // or, of a table, mse, l1, huber
  double label_smoothing = 0;          // the part of a target that all classes share
  double mixup = 0;  // alpha of the Beta that images are mixed by; 0: they are not
  OptimizerDescription optimizer;
  ScheduleDescription schedule;
  std::vector<int64_t> topk = {1, 5};
  int64_t save_every = 0;  // batches between writes of last.pt; 0: at epoch ends only
  int64_t keep_every = 0;  // epochs between checkpoints that are kept; 0: none
  bool pictures = false;   // a picture of the wiring into wiring/ at every epoch's end
};

}  // namespace rewire::config
