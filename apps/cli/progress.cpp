// The progress bar of a terminal; elsewhere plain lines, so that a log file stays readable.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "command.h"
#include "error.h"

namespace rewire::cli {
namespace {

using Clock = std::chrono::steady_clock;

bool on_terminal() {
  static const bool terminal = isatty(STDERR_FILENO) == 1;
  return terminal;
}

bool bar_shown = false;

void clear_bar() {
  if (!bar_shown) return;
  std::fputs("\r\x1b[K", stderr);
  bar_shown = false;
}

void put_line(const std::string& line) {
  std::fputs(("\r\x1b[K" + line).c_str(), stderr);
  std::fflush(stderr);
  bar_shown = true;
}

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string pass_name(const train::StepReport& report) {
  return report.training ? fmt::format("epoch {}/{}", report.epoch + 1, report.epochs) : "testing";
}

void draw_bar(const train::StepReport& report) {
  constexpr int kCells = 24;
  const int filled = int(kCells * report.batch / std::max<int64_t>(report.batches, 1));
  std::string bar;
  for (int i = 0; i < kCells; ++i) bar += i < filled ? "━" : "─";
  const std::string what = pass_name(report);
  put_line(fmt::format("{} {} {}/{}  loss {:.3f}  top1 {:.1f} %  {:.0f} images/s  {} left", what,
                       bar, report.batch, report.batches, report.loss, report.top1,
                       report.images_per_second, duration(report.seconds_left)));
}

}  // namespace

void show_progress(const std::string& line) {
  static Clock::time_point last;
  const auto now = Clock::now();
  if (!on_terminal() || now - last < std::chrono::milliseconds(100)) return;
  last = now;
  put_line(line);
}

void complain(const std::string& line) {
  clear_bar();
  std::fputs((line + "\n").c_str(), stderr);
}

void say(const std::string& line) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  complain(fmt::format("{:02}:{:02}:{:02} {}", local.tm_hour, local.tm_min, local.tm_sec, line));
}

void show(const std::string& text) {
  const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  if (written || errno == EPIPE) return;
  throw Error(1, std::string("rewire: standard output: ") + std::strerror(errno));
}

train::Watcher watcher() {
  train::Watcher watcher;
  watcher.log = say;
  if (!on_terminal()) {
    watcher.step = [last = Clock::now()](const train::StepReport& report) mutable {
      if (Clock::now() - last < std::chrono::seconds(30)) return;
      last = Clock::now();
      say(fmt::format("{} {}/{}: loss {:.3f}, top1 {:.1f} %, {:.0f} images/s, {} left",
                      pass_name(report), report.batch, report.batches, report.loss, report.top1,
                      report.images_per_second, duration(report.seconds_left)));
    };
    return watcher;
  }
  watcher.step = [last = Clock::time_point()](const train::StepReport& report) mutable {
    const auto now = Clock::now();
    if (now - last < std::chrono::milliseconds(100) && report.batch < report.batches) return;
    last = now;
    draw_bar(report);
    if (report.batch == report.batches) clear_bar();
  };
  return watcher;
}

}  // namespace rewire::cli
