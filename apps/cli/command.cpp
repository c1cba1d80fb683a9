#include "command.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>

#include "data/image_file.h"
#include "error.h"
#include "models/fast_eval.h"
#include "train/device.h"
#include "train/run_state.h"

namespace rewire::cli {
namespace {

std::atomic<int> stop_number{0};
std::atomic<bool> deferred{false};
static_assert(std::atomic<int>::is_always_lock_free, "set from a signal handler");

void on_signal(int number) {
  if (!deferred || stop_number.exchange(number) != 0) std::_Exit(128 + number);
}

// Before the constructors of LibTorch, which take most of a short command's time: a program that is
// stopped while it loads ends with the same status as later. What the caller ignores, as nohup and
// a shell's `&` do, stays ignored.
void install_signal_handlers() {
  for (const int number : {SIGINT, SIGTERM}) {
    if (std::signal(number, on_signal) == SIG_IGN) std::signal(number, SIG_IGN);
  }
}
[[gnu::section(".preinit_array"),
  gnu::used]] void (*const before_all_else)() = install_signal_handlers;

// Whether both describe the same network on the same input.
bool same_network(config::Experiment a, const config::Experiment& b) {
  const models::Description model = a.model;
  const data::Description data = a.data;
  a = b;
  a.model = model;
  a.data.kind = data.kind;
  a.data.normalize = data.normalize;
  if (data.kind == "imagefolder") {
    a.data.image_size = data.image_size;
    a.data.val_resize = data.val_resize;
  }
  return config::to_yaml(a) == config::to_yaml(b);
}

// The same network for images of another size, whose buffers of zeros have another shape.
models::Model resized(const models::Model& model, const config::Experiment& experiment,
                      const data::ImageSpec& spec) {
  models::Model other = models::build(experiment.model, spec, experiment.seed);
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) state[name] = tensor;
  for (const auto& [name, tensor] : script::named_tensors(other.module)) {
    if (state.at(name).sizes() != tensor.sizes()) state[name] = tensor;
  }
  models::load_state(other, state);
  return other;
}

}  // namespace

void Common::add_to(CLI::App& command, bool takes_config) {
  if (takes_config) command.add_option("CONFIG", config, "Experiment file (YAML)")->required();
  command.add_option("--set", overrides, "Override a key of the config; repeatable")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command
      .add_option("--data", data, "Folder with the data sets (default: $REWIRE_DATA, else ./data)")
      ->type_name("DIR");
  command
      .add_option("--device", device,
                  "Where models are trained and evaluated: cpu, cuda or cuda:N; auto: the first\n"
                  "GPU that can be used, else the CPU")
      ->capture_default_str()
      ->type_name("DEVICE");
  command.add_option("--threads", threads, "Compute threads (default: all cores)")
      ->check(CLI::Range(1, 4096));
  command
      .add_option("--execution", execution,
                  "How wired layers are computed: sparse, dense, or auto: as the config says,\n"
                  "else what is faster here; a run keeps what it began with")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "sparse", "dense"}));
  command.add_flag("--json", json, "Print the results as one JSON object on standard output");
}

void Common::apply() const {
  if (threads > 0) at::set_num_threads(threads);
  if (device != "auto") run_device();  // refused here, whatever the command does with it
}

at::Device Common::run_device() const { return train::device_named(device); }

config::Experiment Common::experiment() const {
  apply();
  config::Experiment experiment = config::load(config, overrides);
  if (execution != "auto") experiment.execution = execution;
  return experiment;
}

std::filesystem::path Common::data_root() const {
  if (data) return *data;
  const char* folder = std::getenv("REWIRE_DATA");
  return folder && *folder ? folder : "data";
}

const std::atomic<int>& stop_signal() { return stop_number; }

void defer_signals() { deferred = true; }

std::string signal_name(int number) {
  const char* name = sigabbrev_np(number);
  return name ? std::string("SIG") + name : fmt::format("signal {}", number);
}

Loaded load_model(const config::Experiment& experiment,
                  const std::optional<std::string>& checkpoint,
                  const std::optional<data::ImageSpec>& spec) {
  Loaded loaded{
      models::build(experiment.model, data::image_spec(experiment.data), experiment.seed)};
  models::set_execution(loaded.model, experiment.execution);
  if (checkpoint) {
    const train::Origin origin = train::load_model(*checkpoint, loaded.model);
    loaded.epochs = origin.epochs;
    if (!same_network(origin.experiment, experiment)) {
      say(fmt::format(
          "note: {} was trained as '{}', whose network or input differs from this config's",
          *checkpoint, origin.experiment.name));
    }
  }
  if (spec) loaded.model = resized(loaded.model, experiment, *spec);
  loaded.model.module.eval();
  return loaded;
}

void make_fast(const config::Experiment& experiment, Loaded& loaded) {
  const models::EdgeCount edges = models::count_edges(loaded.model);
  const int64_t parameters = models::count_parameters(loaded.model);
  loaded.model =
      models::fast_eval(loaded.model, experiment.model, data::image_spec(experiment.data));
  models::set_execution(loaded.model, experiment.execution);
  say(fmt::format("fast evaluation: {} of {} parameters and {} of {} edges are left",
                  models::count_parameters(loaded.model), parameters,
                  models::count_edges(loaded.model).kept, edges.kept));
}

void describe(const models::Model& model, nlohmann::ordered_json& result) {
  const models::EdgeCount edges = models::count_edges(model);
  result["edges"] = edges.kept;
  result["edges_in_use"] = edges.in_use;
  result["parameters"] = models::count_parameters(model);
  result["macs"] = models::count_macs(model);
}

void print_json(const nlohmann::ordered_json& result) {
  show(result.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

at::Tensor classify(torch::jit::Module& module, const std::filesystem::path& image,
                    const data::Description& data, at::Device device) {
  const torch::InferenceMode guard;
  const data::ImageSpec spec = data::image_spec(data);
  const at::Tensor input = data::to_input(data::read_image(image), spec, data.normalize);
  return module.forward({input.to(device)}).toTensor().softmax(1).squeeze(0).cpu();
}

}  // namespace rewire::cli
