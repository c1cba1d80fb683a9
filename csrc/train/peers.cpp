// The only file that knows gloo: the headers that Debian has of it are older than what torch
// brings, and of them no store may be made.
#define USE_C10D_GLOO
#include "train/peers.h"

#include <c10/util/Logging.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/serialize.h>
#include <torch/torch.h>
#include <torch/csrc/distributed/c10d/GroupRegistry.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>

#include "error.h"

namespace rewire::train {
namespace {

constexpr const char* kName = "rewire";
constexpr int64_t kBucketBytes = 8 << 20;  // enough for the wire to be busy, and few to be early

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

int64_t number(const char* name, int64_t least, int64_t most) {
  const std::string text = variable(name);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    throw ConfigError(
        fmt::format("{}='{}': expected a number in [{}, {}]; torchrun sets RANK, WORLD_SIZE, "
                    "MASTER_ADDR and MASTER_PORT",
                    name, text, least, most));
  }
  return value;
}

std::chrono::seconds time_limit() {
  constexpr const char* kLimit = "REWIRE_PEER_TIMEOUT";
  return std::chrono::seconds(variable(kLimit).empty() ? 300 : number(kLimit, 1, 1 << 20));
}

// Where all meet: at the leader, or at torchrun, which then serves.
c10::intrusive_ptr<c10d::Store> meeting_place(int64_t rank, std::chrono::seconds limit) {
  c10d::TCPStoreOptions options;
  options.port = uint16_t(number("MASTER_PORT", 1, 65535));
  const bool served = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  options.isServer = rank == 0 && !served;
  options.waitWorkers = false;
  options.timeout = limit;
  c10::intrusive_ptr<c10d::Store> store =
      c10::make_intrusive<c10d::TCPStore>(variable("MASTER_ADDR"), options);
  const std::string attempt = "rewire/attempt_" + variable("TORCHELASTIC_RESTART_COUNT");
  return c10::make_intrusive<c10d::PrefixStore>(attempt, store);
}

// Waits for all to come, and says who did not. The leader, whom the others ask, leaves last.
void wait_for_all(c10d::Store& store, int64_t rank, int64_t count, std::chrono::seconds limit) {
  const auto key = [](int64_t of) { return "rank_" + std::to_string(of); };
  store.set(key(rank), std::vector<uint8_t>{1});
  std::vector<std::string> keys;
  for (int64_t of = 0; of < count; ++of) keys.push_back(key(of));
  try {
    store.wait(keys, limit);
  } catch (const std::exception&) {
    std::vector<int64_t> missing;
    for (int64_t of = 0; of < count; ++of) {
      if (!store.check({key(of)})) missing.push_back(of);
    }
    if (rank == 0) std::this_thread::sleep_for(std::chrono::seconds(2));
    throw Error(1, fmt::format("rank {} of {}: not there after {} seconds: rank {}", rank, count,
                               limit.count(), fmt::join(missing, ", ")));
  }
}

// The first line of what torch says, without where in its sources.
std::string reason(const std::exception& error) {
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  const std::string text = of_torch ? of_torch->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

}  // namespace

struct Peers::Group {
  c10::intrusive_ptr<c10d::ProcessGroup> processes;
  ~Group() {
    c10d::unregister_process_group(kName);
    if (processes) processes->release_resources();
  }
};

template <typename F>
auto Peers::together(F&& f) const {
  try {
    return f(*group_->processes);
  } catch (const std::exception& error) {
    throw Error(1, fmt::format("rank {} of {}: lost another process of this training: {}", rank_,
                               count_, reason(error)));
  }
}

Peers Peers::join() {
  Peers peers;
  if (variable("WORLD_SIZE").empty()) return peers;
  peers.count_ = number("WORLD_SIZE", 1, 1 << 16);
  if (peers.alone()) return peers;
  peers.rank_ = number("RANK", 0, peers.count_ - 1);
  if (variable("MASTER_ADDR").empty()) {
    throw ConfigError("MASTER_ADDR is not set; torchrun sets it");
  }
  // What torch would warn of is in the errors below.
  if (variable("TORCH_CPP_LOG_LEVEL").empty()) FLAGS_caffe2_log_level = int(c10::GLOG_ERROR);
  const std::chrono::seconds limit = time_limit();
  c10::intrusive_ptr<c10d::Store> store;
  try {
    store = meeting_place(peers.rank_, limit);
    wait_for_all(*store, peers.rank_, peers.count_, limit);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(1, fmt::format("rank {} of {}: cannot meet at {}:{}: {}", peers.rank_, peers.count_,
                               variable("MASTER_ADDR"), variable("MASTER_PORT"), reason(error)));
  }
  const auto rank = int(peers.rank_), count = int(peers.count_);
  peers.group_ = std::make_shared<Group>();
  auto& processes = peers.group_->processes;
  processes = c10::make_intrusive<c10d::ProcessGroup>(store, rank, count);
  peers.together([&](c10d::ProcessGroup& group) {
    using c10d::ProcessGroupGloo;
    constexpr auto kKind = c10d::ProcessGroup::BackendType::GLOO;
    const auto options = ProcessGroupGloo::Options::create_default(limit);
    group.setBackend(c10::DeviceType::CPU, kKind,
                     c10::make_intrusive<ProcessGroupGloo>(store, rank, count, options));
    group.setDefaultBackend(kKind);
    group.setGroupName(kName);
    c10d::register_process_group(kName, processes);
  });
  return peers;
}

std::string Peers::group() const { return alone() ? "" : kName; }

at::Tensor Peers::sum(const at::Tensor& own) const {
  if (alone()) return own;
  std::vector<at::Tensor> total{own.clone()};
  together([&](c10d::ProcessGroup& group) { group.allreduce(total)->wait(); });
  return total[0];
}

int64_t Peers::sum(int64_t own) const {
  return alone() ? own : sum(at::tensor(own)).item<int64_t>();
}

int64_t Peers::largest(int64_t own) const {
  if (alone()) return own;
  std::vector<at::Tensor> all{at::tensor(own)};
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp::MAX;
  together([&](c10d::ProcessGroup& group) { group.allreduce(all, options)->wait(); });
  return all[0].item<int64_t>();
}

void Peers::hand_out(std::vector<at::Tensor> tensors) const {
  if (alone()) return;
  const at::NoGradGuard no_grad;
  together([&](c10d::ProcessGroup& group) {
    for (at::Tensor& tensor : tensors) {
      std::vector<at::Tensor> one{tensor.detach().contiguous()};
      group.broadcast(one)->wait();
      if (!leads()) tensor.copy_(one[0]);
    }
  });
}

TensorMap Peers::hand_out(const TensorMap& tensors) const {
  if (alone()) return tensors;
  std::vector<char> bytes;
  if (leads()) {
    c10::Dict<std::string, at::Tensor> dict;
    for (const auto& [name, tensor] : tensors) dict.insert(name, tensor.contiguous());
    bytes = torch::pickle_save(dict);
  }
  const at::Tensor size = at::tensor(int64_t(bytes.size()));
  hand_out({size});
  bytes.resize(size_t(size.item<int64_t>()));
  hand_out({at::from_blob(bytes.data(), {int64_t(bytes.size())}, at::kByte)});
  TensorMap result;
  for (const auto& item : torch::pickle_load(bytes).toGenericDict()) {
    result[item.key().toStringRef()] = item.value().toTensor();
  }
  return result;
}

// Parameters from the last to the first, which is about the order of their gradients. Buckets are
// sent in one order by all, however backward goes.
struct GradientMean::Buckets {
  // A pointer of one kind or another, by the version of torch.
  using Accumulator =
      decltype(torch::autograd::impl::grad_accumulator(std::declval<const at::Tensor&>()));
  struct Bucket {
    std::vector<at::Tensor> parameters;
    size_t waits = 0;  // for so many gradients
    at::Tensor sum;    // on its way
    c10::intrusive_ptr<c10d::Work> work;
  };

  Buckets(const Peers& peers, const std::vector<at::Tensor>& parameters) : peers(peers) {
    int64_t bytes = kBucketBytes;
    for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
      if (!parameter->requires_grad()) continue;
      if (bytes >= kBucketBytes || parameter->dtype() != buckets.back().parameters[0].dtype()) {
        buckets.emplace_back();
        bytes = 0;
      }
      buckets.back().parameters.push_back(*parameter);
      bytes += int64_t(parameter->nbytes());
      watch(*parameter, buckets.size() - 1);
    }
  }
  ~Buckets() {
    for (size_t i = 0; i < nodes.size(); ++i) nodes[i]->del_post_hook(hooks[i]);
  }

  // Has a bucket told of a parameter's gradient.
  void watch(const at::Tensor& parameter, size_t index) {
    const auto node = torch::autograd::impl::grad_accumulator(parameter);
    hooks.push_back(node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [this, index](const auto& outputs, const auto&) {
          if (open) {
            --buckets[index].waits;
            send_ready();
          }
          return outputs;
        })));
    nodes.push_back(node);
  }

  void send_ready() {
    for (; sent < buckets.size() && buckets[sent].waits == 0; ++sent) send(buckets[sent]);
  }

  void send(Bucket& bucket) {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> flat;
    for (const at::Tensor& parameter : bucket.parameters) {
      const at::Tensor& grad = parameter.grad();
      flat.push_back(grad.defined() ? grad.flatten() : at::zeros_like(parameter).flatten());
    }
    bucket.sum = at::cat(flat);
    std::vector<at::Tensor> one{bucket.sum};
    bucket.work = peers.together([&](c10d::ProcessGroup& group) { return group.allreduce(one); });
  }

  void receive(Bucket& bucket) {
    const at::NoGradGuard no_grad;
    peers.together([&](c10d::ProcessGroup&) { bucket.work->wait(); });
    bucket.work.reset();
    const at::Tensor mean = std::exchange(bucket.sum, at::Tensor()).div_(peers.count());
    int64_t begin = 0;
    for (const at::Tensor& parameter : bucket.parameters) {
      if (parameter.grad().defined()) {
        parameter.grad().copy_(mean.narrow(0, begin, parameter.numel()).view_as(parameter));
      }
      begin += parameter.numel();
    }
  }

  const Peers& peers;
  std::vector<Bucket> buckets;
  std::vector<Accumulator> nodes;
  std::vector<uintptr_t> hooks;  // of each node
  bool open = false;             // between begin and finish
  size_t sent = 0;
};

GradientMean::GradientMean(const Peers& peers, const std::vector<at::Tensor>& parameters)
    : peers_(peers),
      buckets_(peers.alone() ? nullptr : std::make_unique<Buckets>(peers, parameters)) {}

GradientMean::~GradientMean() = default;

void GradientMean::begin() {
  if (!buckets_) return;
  for (Buckets::Bucket& bucket : buckets_->buckets) bucket.waits = bucket.parameters.size();
  buckets_->sent = 0;
  buckets_->open = true;
}

void GradientMean::finish() {
  if (!buckets_) return;
  buckets_->open = false;
  for (; buckets_->sent < buckets_->buckets.size(); ++buckets_->sent) {
    buckets_->send(buckets_->buckets[buckets_->sent]);  // some of it has no gradient
  }
  for (Buckets::Bucket& bucket : buckets_->buckets) buckets_->receive(bucket);
}

}  // namespace rewire::train
