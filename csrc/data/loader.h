// The batches of one epoch, prepared ahead by threads and handed out in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "data/batch.h"

namespace rewire::data {

struct LoaderOptions : BatchOptions {
  int64_t workers = 1;      // threads that prepare batches; 0: next() does it itself
  int64_t first_batch = 0;  // start here, with what a whole pass would give from here on
};

// Each worker takes the next piece of a batch that nobody has taken. Ahead of the caller two
// batches are prepared or in work, or so many that there are two pieces for each worker: where
// batches are large, memory does not grow with the workers. A batch has the same bits for any
// number of them.
class Loader {
 public:
  // `dataset` outlives the loader. Throws as BatchMaker does.
  Loader(const Dataset& dataset, LoaderOptions options);

  // Gives up what is in work and returns as soon as each worker has finished its image.
  ~Loader();

  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next batch, or nothing at the end of the epoch. Throws what preparing that batch threw, and
  // throws it again when called again. For one thread at a time.
  std::optional<Batch> next();

  // Batches of a whole pass, those before first_batch included.
  int64_t num_batches() const { return maker_.count(); }

 private:
  // A batch in work; prepared when no piece is left to do.
  struct Slot {
    std::optional<Batch> batch;
    std::vector<BatchMaker::Piece> pieces;
    int64_t left = 0;
    bool full() const { return !pieces.empty() && left == 0; }
  };

  void work(const std::stop_token& stop);
  // Begins batch taken_. Where there is no memory for it, that is its only piece's error: false.
  bool begin(Slot& slot);
  Slot& slot(int64_t index) { return slots_[index % static_cast<int64_t>(slots_.size())]; }

  const BatchMaker maker_;
  std::mutex mutex_;  // guards what follows, but for threads_
  std::condition_variable_any changed_;
  std::vector<Slot> slots_;  // batch i, once prepared, is in slot i modulo their number
  int64_t handed_out_;       // batches before this one have left
  int64_t taken_;            // all pieces of batches before this one are prepared or in work
  int64_t piece_ = 0;        // and those before this one of it
  std::vector<std::jthread> threads_;
};

}  // namespace rewire::data
