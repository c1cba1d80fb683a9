#include "train/trainer.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "data/file.h"
#include "data/loader.h"
#include "error.h"
#include "train/checkpoint_file.h"
#include "train/journal.h"
#include "train/run_folder.h"
#include "train/run_state.h"
#include "train/skipped.h"
#include "train/step.h"

namespace rewire::train {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string skipped_text(int64_t training, int64_t test) {
  if (training + test == 0) return "";
  return fmt::format(", {} training and {} test images skipped", training, test);
}

data::Dataset training_images(const config::Experiment& experiment, const fs::path& root) {
  data::Dataset images = data::open(experiment.data, root, data::Split::train);
  if (experiment.training.drop_last && images.size() < experiment.training.batch_size) {
    throw ConfigError(fmt::format(
        "training.drop_last: {} training images fill no batch of {}: nothing would be trained",
        images.size(), experiment.training.batch_size));
  }
  return images;
}

models::Model fresh_model(const config::Experiment& experiment, const data::ImageSpec& spec,
                          at::Device device) {
  models::Model model = models::build(experiment.model, spec, experiment.seed);
  models::move_to(model, device);
  return model;
}

std::string name_of(at::Device device, int64_t processes) {
  const std::string name =
      device.is_cpu() ? fmt::format("{} compute threads", at::get_num_threads()) : device.str();
  return processes == 1 ? name : fmt::format("{} processes of {}", processes, name);
}

std::vector<at::Tensor> parameters_of(const models::Model& model) {
  std::vector<at::Tensor> parameters;
  for (const at::Tensor& parameter : model.module.parameters()) parameters.push_back(parameter);
  return parameters;
}

class Training {
 public:
  Training(const config::Experiment& experiment, const RunOptions& options)
      : experiment_(experiment),
        options_(options),
        peers_(options.peers),
        train_set_(training_images(experiment, options.data_root)),
        test_set_(data::open(experiment.data, options.data_root, data::Split::test)),
        state_(experiment, fresh_model(experiment, train_set_.spec, options.device)),
        gradients_(peers_, parameters_of(state_.model)) {
    at::manual_seed(uint64_t(experiment.seed));
    if (peers_.leads()) {
      folder_.emplace(options.output);
      start_or_resume();
      journal_.emplace(*folder_, state_);
    }
    if (!peers_.alone()) begin_together();
    edges_start_ = edges_at_start();
  }

  RunResult run() {
    if (peers_.leads()) announce();
    while (state_.epoch < experiment_.training.epochs && !stopped()) one_epoch();
    if (stopped()) save("last");
    return result();
  }

 private:
  // The signal that any process got: each is asked at the same places.
  bool stopped() {
    if (stopped_by_ == 0)
      stopped_by_ = int(peers_.largest(options_.stop ? options_.stop->load() : 0));
    return stopped_by_ != 0;
  }
  void log(const std::string& line) const {
    if (options_.watcher.log) options_.watcher.log(line);
  }

  void start_or_resume() {
    if (options_.resume != "auto" && options_.resume != "never") {
      return go_on_from(options_.resume, read_tensors(options_.resume), /*rewind=*/true);
    }
    const auto candidates =
        options_.resume == "auto" ? folder_->checkpoints() : std::vector<fs::path>();
    for (const fs::path& candidate : candidates) {
      if (const auto tensors = readable(candidate)) return go_on_from(candidate, *tensors, false);
    }
    if (!candidates.empty()) {
      throw CheckpointError(notes_.front() +
                            "; no other checkpoint is whole; start over with --resume never");
    }
    if (experiment_.start) {
      load_start(*experiment_.start, experiment_, state_.model);
      state_.edges_before = models::edges_kept(state_.model);
    } else if (chooses_by_weights()) {
      note("fine_tune chooses among fresh weights: start.weights names a checkpoint's");
    }
    set_execution(experiment_.execution == "auto" ? models::faster_execution(state_.model)
                                                  : experiment_.execution);
    folder_->clear();
    save_checkpoint(folder_->checkpoint("init"), experiment_, state_);
  }

  // All go on from where the leader stands, which has what was counted before.
  void begin_together() {
    if (!options_.device.is_cpu()) {
      throw ConfigError("--device " + options_.device.str() +
                        ": several processes train on the CPU");
    }
    const std::string leader = "what rank 0 begins with";
    const TensorMap tensors =
        peers_.hand_out(peers_.leads() ? tensors_of(experiment_, state_) : TensorMap());
    if (experiment_.training.sync_batchnorm) models::set_group(state_.model, peers_.group());
    if (peers_.leads()) return;
    set_execution(experiment_of(tensors, leader).execution);
    restore(leader, tensors, experiment_, state_);
    state_.sums = fresh_sums();
  }

  Sums fresh_sums() const { return Sums(experiment_.training.topk, experiment_.data.within); }

  // Of all processes; the time is one's own.
  Sums joint(const Sums& own) const {
    Sums all = fresh_sums();
    all.load(peers_.sum(own.tensor()));
    all.skipped = peers_.sum(own.skipped);
    all.seconds = own.seconds;
    return all;
  }

  bool chooses_by_weights() const {
    return std::any_of(
        state_.model.wirings.begin(), state_.model.wirings.end(),
        [](const models::Wiring& wiring) { return wiring.rule.kind == "fine_tune"; });
  }

  // Of a training that goes on, the seed's; or, where it began with other weights, those that it
  // goes on with.
  std::vector<at::Tensor> edges_at_start() {
    if (!resumed_ || named_ || experiment_.start) return state_.edges_before;
    const models::Model start = models::build(experiment_.model, train_set_.spec, experiment_.seed);
    return models::edges_kept(start);
  }

  // What `auto` is for this run, once and for all: other sums would end in other bits.
  void set_execution(const std::string& resolved) {
    if (experiment_.execution == "auto") experiment_.execution = resolved;
    models::set_execution(state_.model, experiment_.execution);
  }

  // The tensors of a checkpoint, or nothing where it is damaged.
  std::optional<TensorMap> readable(const fs::path& candidate) {
    try {
      return read_tensors(candidate);
    } catch (const CheckpointError& error) {
      note(error.what());
      return std::nullopt;
    }
  }

  // rewind: the folder may hold later checkpoints, which then belong to a future that is given up.
  void go_on_from(const fs::path& file, const TensorMap& tensors, bool rewind) {
    resumed_ = true;
    named_ = rewind;
    set_execution(experiment_of(tensors, file).execution);
    restore(file, tensors, experiment_, state_);
    if (state_.batch_in_epoch > data::BatchMaker(train_set_, loader_options()).count()) {
      throw CheckpointError(file.string() + ": its place lies beyond the end of an epoch");
    }
    if (rewind) {
      if (folder_->drop_checkpoints_after(state_.epoch)) state_.best = {};
      write("last");
    }
    if (state_.epoch >= experiment_.training.epochs) {
      return note(fmt::format(
          "{} is complete, {} of {} epochs: nothing to train; start over with --resume never",
          file.string(), state_.epoch, experiment_.training.epochs));
    }
    note(fmt::format("going on from {}: {}", file.string(), place_of(state_)));
  }

  // What is found while nothing may be logged yet: everything is checked first.
  void note(const std::string& line) { notes_.push_back(line); }

  void announce() {
    data::write_atomically(folder_->config(), config::to_yaml(experiment_));
    const models::EdgeCount edges = models::count_edges(state_.model);
    log(
        fmt::format("{}: {} training images, {} test images, {} parameters, {} edges of which {} "
                    "are in use, {}, in {}",
                    experiment_.name, train_set_.size(), test_set_.size(),
                    models::count_parameters(state_.model), edges.kept, edges.in_use,
                    name_of(options_.device, peers_.count()), folder_->root().string()));
    for (const std::string& line : notes_) log(line);
  }

  data::LoaderOptions loader_options() const {
    data::LoaderOptions options;
    options.seed = uint64_t(experiment_.seed);
    options.epoch = state_.epoch;
    options.batch_size = experiment_.training.batch_size;
    options.shuffle = true;
    options.drop_last = experiment_.training.drop_last;
    options.augment = experiment_.data.augment;
    options.normalize = experiment_.data.normalize;
    options.workers = experiment_.data.workers;
    options.first_batch = state_.batch_in_epoch;
    options.part = peers_.rank();
    options.parts = peers_.count();
    options.skip_bad = experiment_.data.on_bad_image == "skip";
    return options;
  }

  void one_epoch() {
    data::Loader loader(train_set_, loader_options());
    const double seconds_before = state_.sums.seconds;
    const auto start = Clock::now();
    state_.model.module.train();
    while (auto batch = loader.next()) {
      count_skipped(*batch, state_.sums, options_.watcher.log);
      step(*batch, loader.num_batches());
      state_.sums.seconds = seconds_before + seconds_since(start);
      report(*batch, loader.num_batches());
      if (stopped()) return;
      const int64_t every = experiment_.training.save_every;
      if (every && state_.batch_in_epoch % every == 0) save("last");
    }
    const Sums trained = joint(state_.sums);
    refuse_all_skipped(trained);
    const Sums test = tested();
    if (stopped()) return;
    refuse_all_skipped(test);
    state_.sums = trained;
    end_epoch(test, rate_of(loader.num_batches() - 1, experiment_, extent(loader.num_batches()),
                            state_.epoch));
  }

  // On the test set, with the running statistics of the leader.
  Sums tested() {
    std::vector<at::Tensor> buffers;
    for (const at::Tensor& buffer : state_.model.module.buffers()) buffers.push_back(buffer);
    peers_.hand_out(buffers);
    return joint(evaluate(state_.model, test_set_, experiment_, options_.stop,
                          {.log = options_.watcher.log, .step = {}}, peers_));
  }

  void step(const data::Batch& batch, int64_t batches) {
    const auto start = Clock::now();
    learn_from(batch, experiment_, train_set_.spec, extent(batches), gradients_, state_);
    images_ += batch.labels.size(0) * peers_.count();
    images_seconds_ += seconds_since(start);
  }

  // The images of an epoch's batches.
  int64_t images_of(int64_t batches) const {
    return std::min(train_set_.size(), batches * experiment_.training.batch_size);
  }
  Extent extent(int64_t batches) const {
    return {experiment_.training.epochs, batches, images_of(batches),
            experiment_.training.batch_size};
  }

  // Where somebody has removed the folder, training goes on in a new one. Returns whether so.
  bool keep_folder() {
    if (!folder_->make_again()) return false;
    data::write_atomically(folder_->config(), config::to_yaml(experiment_));
    journal_.emplace(*folder_, state_);
    log(fmt::format("{}: was removed, and is made again", folder_->root().string()));
    return true;
  }

  // Does `write`, which puts something into the folder; a second time where the folder was removed
  // while it did.
  template <typename Write>
  void in_folder(Write&& write) {
    try {
      keep_folder();
      write();
    } catch (const Error&) {
      if (!keep_folder()) throw;
      write();
    }
  }

  // Curves and pictures are by-products: training goes on without them.
  void draw() {
    try {
      journal_->curves();
      journal_->pictures(state_.model, state_.epoch, experiment_.training.pictures);
    } catch (const std::exception& error) {
      log(fmt::format("no curves or pictures of this epoch: {}", error.what()));
    }
  }

  void log_epoch(const Sums& test) const {
    log(
        fmt::format("epoch {}/{}: train loss {:.4f} top1 {:.2f} %, test loss {:.4f} top1 {:.2f} %, "
                    "{} edges changed, {:.0f} images/s{}",
                    state_.epoch + 1, experiment_.training.epochs, state_.sums.loss(),
                    state_.sums.top(0), test.loss(), test.top(0), journal_->edges_changed(),
                    double(state_.sums.images()) / state_.sums.seconds,
                    skipped_text(state_.sums.skipped, test.skipped)));
  }

  // `rate`: the learning rate of the epoch's last step.
  void end_epoch(const Sums& test, double rate) {
    const bool best = test.top(0) > state_.best.top1;
    if (peers_.leads()) {
      in_folder([&] { journal_->epoch(state_, test, rate); });
      draw();
      log_epoch(test);
    }
    state_.seconds += state_.sums.seconds + test.seconds;
    state_.last = {test.top(0), test.loss()};
    if (best) state_.best = {test.top(0), state_.epoch};
    ++state_.epoch;
    state_.batch_in_epoch = 0;
    state_.sums = fresh_sums();
    const int64_t keep = experiment_.training.keep_every;
    if (keep && state_.epoch % keep == 0) save(fmt::format("epoch_{}", state_.epoch - 1));
    if (best) save("best");
    save("last");  // after the others: a run killed in between repeats the epoch, to the same bits
  }

  void report(const data::Batch& batch, int64_t batches) const {
    if (!options_.watcher.step || state_.sums.images() == 0) return;
    const double images = double(state_.sums.images()) * double(peers_.count());
    const double rate = images / state_.sums.seconds;
    const int64_t of_all = (experiment_.training.epochs - state_.epoch) * images_of(batches);
    const double images_left = std::max(0.0, double(of_all) - images);
    options_.watcher.step({.training = true,
                           .epoch = state_.epoch,
                           .epochs = experiment_.training.epochs,
                           .batch = batch.index + 1,
                           .batches = batches,
                           .loss = state_.sums.loss(),
                           .top1 = state_.sums.top(0),
                           .images_per_second = rate,
                           .seconds_left = images_left / rate});
  }

  void write(const std::string& name) {
    in_folder([&] { save_checkpoint(folder_->checkpoint(name), experiment_, state_); });
  }

  // With what all processes have counted.
  void save(const std::string& name) {
    Sums own = std::exchange(state_.sums, joint(state_.sums));
    if (peers_.leads()) write(name);
    state_.sums = std::move(own);
  }

  RunResult result() {
    RunResult result;
    // Nothing was trained here: what the fresh network does, or one that was imported whole.
    if (state_.last.top1 < 0 && !stopped()) {
      const Sums test = tested();
      state_.last = {test.top(0), test.loss()};
      save("last");
    }
    result.top1 = std::max(state_.last.top1, 0.0);
    result.loss = state_.last.loss;
    result.best_top1 = std::max(state_.best.top1, 0.0);
    result.epochs = state_.epoch;
    result.seconds = state_.seconds + state_.sums.seconds;
    result.images_per_second = images_seconds_ > 0 ? double(images_) / images_seconds_ : 0;
    result.edges = models::count_edges(state_.model);
    for (size_t i = 0; i < edges_start_.size(); ++i) {
      const at::Tensor now = models::edges_kept(state_.model, state_.model.wirings[i]);
      result.edges_moved += now.logical_and(edges_start_[i].logical_not()).sum().item<int64_t>();
    }
    result.parameters = models::count_parameters(state_.model);
    if (folder_) result.checkpoint = folder_->checkpoint("last");
    result.stopped_by = stopped_by_;
    return result;
  }

  config::Experiment experiment_;
  const RunOptions& options_;
  const Peers& peers_;
  const data::Dataset train_set_;
  const data::Dataset test_set_;
  RunState state_;
  GradientMean gradients_;
  std::optional<RunFolder> folder_;       // made when the experiment is known to be sound
  bool resumed_ = false, named_ = false;  // by --resume FILE
  std::vector<at::Tensor> edges_start_;
  std::optional<Journal> journal_;
  std::vector<std::string> notes_;
  int stopped_by_ = 0;
  int64_t images_ = 0;
  double images_seconds_ = 0;
};

}  // namespace

RunResult run(const config::Experiment& experiment, const RunOptions& options) {
  return Training(experiment, options).run();
}

}  // namespace rewire::train
