// What the subcommands share: the options of every command that takes a CONFIG, and how results and
// progress are shown. Results go to standard output, everything for people to standard error.
#pragma once

#include <CLI/CLI.hpp>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "models/model.h"
#include "train/trainer.h"

namespace rewire::cli {

// The options of every command that takes a CONFIG.
struct Common {
  std::string config;
  std::vector<std::string> overrides;
  std::optional<std::string> data;
  std::string device = "auto";
  int threads = 0;
  std::string execution = "auto";
  bool json = false;

  void add_to(CLI::App& command, bool takes_config = true);

  // Applies --threads, refuses a --device that is not there, and reads the experiment, with
  // --execution in it.
  config::Experiment experiment() const;
  void apply() const;
  // --device, for what runs a model.
  at::Device run_device() const;
  // --data, else $REWIRE_DATA, else ./data.
  std::filesystem::path data_root() const;
};

// Each adds its subcommand to `app`, to be run by the parser's callback.
void add_train(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_predict(CLI::App& app);
void add_export(CLI::App& app);
void add_profile(CLI::App& app);
void add_visualize(CLI::App& app);
void add_fetch(CLI::App& app);
void add_sweep(CLI::App& app);
void add_results(CLI::App& app);
void add_import_dnw(CLI::App& app);
void add_import_config(CLI::App& app);
void add_check(CLI::App& app);
void add_quickstart(CLI::App& app);

// The number of the signal that asked the program to stop, or 0. SIGINT and SIGTERM end it at once,
// with the status 128 + number, until defer_signals(): then the first sets it, the second ends it.
const std::atomic<int>& stop_signal();
void defer_signals();
std::string signal_name(int number);  // "SIGTERM"

// Log lines, and on a terminal a progress bar, on standard error. None of these fails where nobody
// reads: a closed stream is no reason to lose a training.
train::Watcher watcher();
void show_progress(const std::string& line);  // on a terminal alone, in the place of the last
void say(const std::string& line);            // with the time of day
void complain(const std::string& line);       // bare, as an error is

// Writes `text` to standard output at once. Throws Error (exit 1) where that fails, but not where
// nobody reads.
void show(const std::string& text);

// The model of an experiment for images of `spec`, its data's where none is given, with the weights
// of `checkpoint` where one is named, in evaluation mode.
struct Loaded {
  models::Model model;
  int64_t epochs = 0;  // that the checkpoint was trained for
};
Loaded load_model(const config::Experiment& experiment,
                  const std::optional<std::string>& checkpoint,
                  const std::optional<data::ImageSpec>& spec = std::nullopt);
// The same without its dead channels, and with its wiring fixed.
void make_fast(const config::Experiment& experiment, Loaded& loaded);

// The keys that describe a model in every JSON result: edges, edges_in_use, parameters, macs.
void describe(const models::Model& model, nlohmann::ordered_json& result);

// What training an experiment gave, under the names of `rewire train --json`.
nlohmann::ordered_json result_json(const config::Experiment& experiment,
                                   const train::RunResult& result);

// Prints `result` as one line on standard output.
void print_json(const nlohmann::ordered_json& result);

// A status that a finished command ends the program with, other than 0.
struct ExitStatus {
  int status;
};

// Reads an image file and gives probabilities [classes] of the module, which is on `device`, for
// it.
at::Tensor classify(torch::jit::Module& module, const std::filesystem::path& image,
                    const data::Description& data, at::Device device);

}  // namespace rewire::cli
