// rewire: trains, evaluates and exports networks whose wiring is learned.
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/torch.h>

#include <climits>
#include <csignal>
#include <cstdlib>
#include <new>
#include <sstream>

#include "command.h"
#include "error.h"

namespace {

// Freed pages stay with the process: giving them back and faulting them in again costs a third of a
// training step.
void keep_pages() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
}

// Threads that wait for each other spin for some ten microseconds, then sleep. OpenMP's default is
// to spin for milliseconds: where another process has taken a core, a training then takes thirty
// times as long. The runtime reads this while it loads, before main: hence the second start, once.
void share_cores(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  setenv("GOMP_SPINCOUNT", "10000", 1);
  char path[PATH_MAX] = {};  // under its own name: /proc/self/exe would be a process named exe
  if (readlink("/proc/self/exe", path, sizeof(path) - 1) > 0) execv(path, argv);
  // Where that fails, the program is merely slower.
}

// The profiling executor specialises graphs for shapes that it sees; for these models that costs
// more than it gives.
void plain_executor() {
  torch::jit::getProfilingMode() = false;
  torch::jit::setTensorExprFuserEnabled(false);
}

// Takes the places of standard streams that the caller closed: the first files that the program
// opens would get them, and its output with them.
void hold_standard_streams() {
  int file = 0;
  do {
    file = ::open("/dev/null", O_RDWR);
  } while (file >= 0 && file <= STDERR_FILENO);
  if (file >= 0) ::close(file);
}

// `text` with its lines joined, each without the blanks around it: an error is one line.
std::string one_line(const std::string& text) {
  std::istringstream lines(text);
  std::string joined;
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos) continue;
    if (!joined.empty()) joined += ' ';
    joined += line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin);
  }
  return joined;
}

int fail(int status, const std::string& message) {
  rewire::cli::complain(one_line(message));
  return status;
}

// "--threads: Value 0 not in range 1 to 4096 (see rewire train --help)"
std::string usage_error(const CLI::App* app, const CLI::Error& error) {
  std::string command = "rewire";
  for (const CLI::App* subcommand : app->get_subcommands()) command += " " + subcommand->get_name();
  const std::vector<std::string> unread = app->remaining(/*recurse=*/true);
  const std::string what = app->get_subcommands().empty() && !unread.empty()
                               ? "no command '" + unread[0] + "'"
                               : one_line(error.what());
  return what + " (see " + command + " --help)\n";
}

// Parses the command line, which runs its command.
int parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    std::ostringstream text;
    if (app.exit(error, text, text) != 0) return fail(2, text.str());
    rewire::cli::show(text.str());  // help, or the version
    return 0;
  }
}

int run(int argc, char** argv) {
  using namespace rewire;
  CLI::App app{"Networks whose wiring is learned: train, evaluate, export."};
  app.set_version_flag("--version",
                       std::string("rewire " REWIRE_VERSION ", torch " REWIRE_TORCH_VERSION));
  app.require_subcommand(1);
  app.failure_message(usage_error);
  cli::add_train(app);
  cli::add_evaluate(app);
  cli::add_predict(app);
  cli::add_export(app);
  cli::add_profile(app);
  cli::add_visualize(app);
  cli::add_fetch(app);
  cli::add_sweep(app);
  cli::add_results(app);
  cli::add_import_dnw(app);
  cli::add_import_config(app);
  cli::add_check(app);
  cli::add_quickstart(app);
  try {
    return parse(app, argc, argv);
  } catch (const cli::ExitStatus& exit) {
    return exit.status;
  } catch (const Error& error) {
    return fail(error.exit_status(), error.what());
  } catch (const c10::Error& error) {
    return fail(1, std::string("rewire: ") + error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return fail(1, "rewire: out of memory");
  } catch (const std::exception& error) {
    return fail(1, std::string("rewire: ") + error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  share_cores(argv);
  std::signal(SIGPIPE, SIG_IGN);  // a closed standard output is no reason to lose a training
  hold_standard_streams();
  keep_pages();
  plain_executor();
  return run(argc, argv);
}
