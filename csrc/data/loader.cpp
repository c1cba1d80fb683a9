#include "data/loader.h"

#include <algorithm>
#include <utility>

namespace rewire::data {

Loader::Loader(const Dataset& dataset, LoaderOptions options)
    : maker_(dataset, options),
      slots_(static_cast<size_t>(2 * options.workers)),
      handed_out_(options.first_batch),
      taken_(options.first_batch) {
  for (int64_t i = 0; i < options.workers; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }
}

Loader::~Loader() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();  // joins
}

std::optional<Batch> Loader::next() {
  if (handed_out_ >= maker_.count()) return std::nullopt;
  if (threads_.empty()) {
    Batch batch = maker_.make(handed_out_);
    ++handed_out_;
    return batch;
  }
  std::unique_lock lock(mutex_);
  Slot& next = slot(handed_out_);
  changed_.wait(lock, [&] { return next.full(); });
  if (next.error) std::rethrow_exception(next.error);
  ++handed_out_;
  std::optional<Batch> batch = std::exchange(next.batch, std::nullopt);
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void Loader::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto room = [&] { return taken_ < handed_out_ + static_cast<int64_t>(slots_.size()); };
  while (changed_.wait(lock, stop, room) && taken_ < maker_.count()) {
    const int64_t index = taken_++;
    lock.unlock();
    Slot made;
    try {
      made.batch = maker_.make(index, stop);
    } catch (...) {
      made.error = std::current_exception();
    }
    lock.lock();
    slot(index) = std::move(made);
    changed_.notify_all();
  }
}

}  // namespace rewire::data
