// The processes that train one network together, each on its part of every batch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "train/checkpoint_file.h"

namespace rewire::train {

// One that is alone, by default: then sums are its own, and nothing is handed to anybody.
// Every process calls the same functions in the same order. They throw Error (exit 1), which says
// what torch's collectives said, where another process is gone or keeps all waiting for longer than
// the time limit.
class Peers {
 public:
  Peers() = default;
  // Joins those that the environment names, as torchrun sets it: RANK of WORLD_SIZE, which meet at
  // MASTER_ADDR and MASTER_PORT; alone where WORLD_SIZE is missing or 1. A wait has
  // REWIRE_PEER_TIMEOUT seconds, 300 if that is missing. Throws ConfigError where the environment
  // is not whole, Error with the missing ranks where not all come in time.
  static Peers join();

  int64_t rank() const { return rank_; }
  int64_t count() const { return count_; }
  bool alone() const { return count_ == 1; }
  bool leads() const { return rank_ == 0; }
  // The group's name, for torch's functional collectives; empty where it is alone.
  std::string group() const;

  // Of all processes.
  at::Tensor sum(const at::Tensor& own) const;
  int64_t sum(int64_t own) const;
  int64_t largest(int64_t own) const;
  // What the leader has, in the place of what the others have.
  void hand_out(std::vector<at::Tensor> tensors) const;
  TensorMap hand_out(const TensorMap& tensors) const;

 private:
  friend class GradientMean;
  struct Group;  // which alone knows torch's collectives
  template <typename F>
  auto together(F&& f) const;

  int64_t rank_ = 0, count_ = 1;
  std::shared_ptr<Group> group_;
};

// Makes every gradient the mean of all processes', while backward is still at work on others.
//   grad = sum over processes p of grad_p / count
// The gradients of many small parameters travel as one.
class GradientMean {
 public:
  // `peers` outlives this.
  GradientMean(const Peers& peers, const std::vector<at::Tensor>& parameters);
  ~GradientMean();
  GradientMean(const GradientMean&) = delete;
  GradientMean& operator=(const GradientMean&) = delete;

  const Peers& peers() const { return peers_; }

  // Around a backward pass that reaches the same parameters in every process: what an earlier one
  // left in their gradients is alike everywhere.
  void begin();
  void finish();

 private:
  struct Buckets;
  const Peers& peers_;
  std::unique_ptr<Buckets> buckets_;  // none where it is alone
};

}  // namespace rewire::train
