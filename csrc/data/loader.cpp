#include "data/loader.h"

#include <algorithm>
#include <utility>

namespace rewire::data {

Loader::Loader(const Dataset& dataset, LoaderOptions options)
    : maker_(dataset, options),
      slots_(static_cast<size_t>(
          options.workers
              ? std::max<int64_t>(2, (2 * options.workers + maker_.pieces() - 1) / maker_.pieces())
              : 0)),
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
    Batch batch = maker_.begin(handed_out_);
    std::vector<BatchMaker::Piece> pieces;
    for (int64_t i = 0; i < maker_.pieces(batch); ++i) pieces.push_back(maker_.fill(batch, i));
    maker_.finish(batch, pieces);
    ++handed_out_;
    return batch;
  }
  std::unique_lock lock(mutex_);
  Slot& next = slot(handed_out_);
  changed_.wait(lock, [&] { return next.full(); });
  maker_.finish(*next.batch, next.pieces);
  ++handed_out_;
  std::optional<Batch> batch = std::exchange(next.batch, std::nullopt);
  next.pieces.clear();
  lock.unlock();
  changed_.notify_all();
  return batch;
}

bool Loader::begin(Slot& slot) {
  try {
    slot.batch = maker_.begin(taken_);
    slot.left = maker_.pieces(*slot.batch);
    slot.pieces.resize(static_cast<size_t>(slot.left));
    return true;
  } catch (...) {
    slot.batch.emplace();
    slot.left = 0;
    slot.pieces.resize(1);
    slot.pieces[0].error = std::current_exception();
    ++taken_;
    changed_.notify_all();
    return false;
  }
}

void Loader::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto room = [&] { return taken_ < handed_out_ + static_cast<int64_t>(slots_.size()); };
  while (changed_.wait(lock, stop, room) && taken_ < maker_.count()) {
    Slot& mine = slot(taken_);
    if (piece_ == 0 && !begin(mine)) continue;
    const int64_t piece = piece_++;
    if (piece_ == static_cast<int64_t>(mine.pieces.size())) {
      ++taken_;
      piece_ = 0;
    }
    lock.unlock();
    BatchMaker::Piece made;
    try {
      made = maker_.fill(*mine.batch, piece, stop);
    } catch (...) {
      made.error = std::current_exception();
    }
    lock.lock();
    mine.pieces[static_cast<size_t>(piece)] = std::move(made);
    if (--mine.left == 0) changed_.notify_all();
  }
}

}  // namespace rewire::data
