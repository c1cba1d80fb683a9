// rewire: trains, evaluates and exports networks whose wiring is learned.
#include <malloc.h>
#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/torch.h>

#include <csignal>
#include <new>

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

// The profiling executor specialises graphs for shapes that it sees; for these models that costs
// more than it gives.
void plain_executor() {
  torch::jit::getProfilingMode() = false;
  torch::jit::setTensorExprFuserEnabled(false);
}

int fail(int status, const std::string& message) {
  rewire::cli::say("error: " + message);
  return status;
}

int run(int argc, char** argv) {
  using namespace rewire;
  CLI::App app{"Networks whose wiring is learned: train, evaluate, export."};
  app.set_version_flag("--version", std::string("rewire " REWIRE_VERSION ", torch " REWIRE_TORCH_VERSION));
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  cli::add_train(app);
  cli::add_evaluate(app);
  cli::add_predict(app);
  cli::add_export(app);
  cli::add_check(app);
  cli::add_quickstart(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const cli::ExitStatus& exit) {
    return exit.status;
  } catch (const Error& error) {
    return fail(error.exit_status(), error.what());
  } catch (const c10::Error& error) {
    return fail(1, error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return fail(1, "out of memory");
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed standard output is no reason to lose a training
  keep_pages();
  plain_executor();
  return run(argc, argv);
}
