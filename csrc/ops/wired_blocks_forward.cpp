// An image's state stays in the second cache while all blocks pass over it, where a block's
// statistics are the image's own. Statistics of the batch need all images before a block: then
// blocks are the outer loop.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/wired_blocks_steps.h"

namespace rewire::ops {
namespace {

using at::Tensor;

// The mean of nothing, as torch has it.
constexpr double kNoMean = std::numeric_limits<double>::quiet_NaN();

// Room that a thread computes with.
template <typename T>
struct Workspace {
  kernels::MapScratch<T> maps;
  std::vector<T> scale, shift;
  Tensor z;    // [largest block, stride]
  Tensor out;  // [outputs, stride]

  Workspace(const BlocksCall& call, const StateLayout& layout, const at::TensorOptions& options)
      : maps(layout.height, layout.width),
        scale(call.own()),
        shift(call.own()),
        z(at::zeros({largest_block(call), layout.stride}, options)),
        out(at::empty({call.outputs(), layout.stride}, options)) {}
};

template <typename T>
class Forward {
 public:
  Forward(const BlocksCall& call, const StateLayout& layout, const Tensor& input,
          const BlocksOutput& results)
      : call_(call),
        layout_(layout),
        input_(input),
        results_(results),
        state_(results.state.mutable_data_ptr<T>()),
        mean_(statistics(results.mean)),
        variance_(statistics(results.variance)),
        edges_(call, layout.stride, Direction::kForward) {}

  void run() {
    if (call_.statistics != Statistics::kBatch) {
      for_each_chunk([&](int64_t chunk, Workspace<T>& work) {
        start(chunk);
        for (int64_t block = 0; block < call_.num_blocks(); ++block) {
          if (call_.statistics == Statistics::kInstance) take_moments(chunk, block, work);
          send(chunk, block, work);
        }
      });
      return;
    }
    for_each_chunk([&](int64_t chunk, Workspace<T>&) { start(chunk); });
    for (int64_t block = 0; block < call_.num_blocks(); ++block) {
      take_batch_moments(block);
      for_each_chunk([&](int64_t chunk, Workspace<T>& work) { send(chunk, block, work); });
    }
  }

 private:
  // Given ones are read alone.
  T* statistics(const Tensor& tensor) const {
    return call_.statistics == Statistics::kGiven ? const_cast<T*>(tensor.const_data_ptr<T>())
                                                  : tensor.mutable_data_ptr<T>();
  }

  template <typename F>
  void for_each_chunk(F&& f) {
    at::parallel_for(0, layout_.chunks, 1, [&](int64_t begin, int64_t end) {
      Workspace<T> work(call_, layout_, results_.state.options());
      for (int64_t chunk = begin; chunk < end; ++chunk) f(chunk, work);
    });
  }

  T* row(int64_t chunk, int64_t channel) {
    return state_ + (chunk * call_.channels() + channel) * layout_.stride;
  }

  // The input, and zeros in all other channels and columns.
  void start(int64_t chunk) {
    const int64_t given = input_.size(1), places = layout_.places();
    const T* in = input_.const_data_ptr<T>() + chunk * layout_.images * given * places;
    std::fill_n(row(chunk, given), (call_.channels() - given) * layout_.stride, T{0});
    const int64_t images = layout_.images_of(chunk), rest = layout_.stride - images * places;
    for (int64_t channel = 0; channel < given; ++channel) {
      T* to = row(chunk, channel);
      for (int64_t image = 0; image < images; ++image) {
        std::copy_n(in + (image * given + channel) * places, places, to + image * places);
      }
      std::fill_n(to + images * places, rest, T{0});
    }
  }

  kernels::Rows<const T> own_rows(int64_t chunk, int64_t block, int64_t image) {
    return {row(chunk, call_.begin(block)) + image * layout_.places(), layout_.stride,
            call_.size(block)};
  }

  // Mean and variance of each image's own channels.
  void take_moments(int64_t chunk, int64_t block, Workspace<T>& work) {
    const int64_t begin = call_.begin(block), end = call_.ends[block];
    for (int64_t image = 0; image < layout_.images_of(chunk); ++image) {
      const int64_t first = (chunk * layout_.images + image) * call_.own();
      kernels::row_moments<T>(own_rows(chunk, block, image), work.maps, mean_ + first + begin,
                              variance_ + first + begin);
      for (int64_t c = begin; c < end; ++c) variance_[first + c] /= T(layout_.places());
    }
  }

  // The same over the batch, from the moments of each image, in float64.
  void take_batch_moments(int64_t block) {
    const int64_t size = call_.size(block), begin = call_.begin(block);
    std::vector<T> means(layout_.batch * size), squares(layout_.batch * size);
    for_each_chunk([&](int64_t chunk, Workspace<T>& work) {
      for (int64_t image = 0; image < layout_.images_of(chunk); ++image) {
        const int64_t first = (chunk * layout_.images + image) * size;
        kernels::row_moments<T>(own_rows(chunk, block, image), work.maps, means.data() + first,
                                squares.data() + first);
      }
    });
    const double batch = layout_.batch, places = layout_.places();
    for (int64_t c = 0; c < size; ++c) {
      double mean = 0, sum = 0;
      for (int64_t i = 0; i < layout_.batch; ++i) mean += means[i * size + c];
      mean /= batch;
      for (int64_t i = 0; i < layout_.batch; ++i) {
        const double off = means[i * size + c] - mean;
        sum += squares[i * size + c] + places * off * off;
      }
      mean_[begin + c] = T(mean);
      variance_[begin + c] = T(sum / (batch * places));
    }
  }

  // Adds what a block sends to the state, the last one to the output.
  void send(int64_t chunk, int64_t block, Workspace<T>& work) {
    T* z = work.z.template mutable_data_ptr<T>();
    for (int64_t image = 0; image < layout_.images_of(chunk); ++image) {
      const auto norm = norm_of<T>(call_, mean_, variance_, chunk * layout_.images + image, block,
                                   work.scale, work.shift);
      kernels::norm_depthwise<T>(
          own_rows(chunk, block, image), norm,
          call_.depthwise.const_data_ptr<T>() + call_.begin(block) * kernels::kTaps, work.maps,
          {z + image * layout_.places(), layout_.stride, call_.size(block)});
    }
    clear_missing(chunk, z, call_.size(block));
    T* target = row(chunk, call_.targets[block]);
    const bool last = block == call_.num_blocks() - 1;
    if (last) {
      target = std::copy_n(target, call_.outputs() * layout_.stride,
                           work.out.template mutable_data_ptr<T>()) -
               call_.outputs() * layout_.stride;
    }
    edges_.add(block, z, target, layout_.stride, layout_.stride);
    if (last) finish(chunk, target);
  }

  // What another chunk left in the columns of images that this one lacks: the state is an output,
  // and may not depend on who computed it.
  void clear_missing(int64_t chunk, T* rows, int64_t count) const {
    const int64_t begin = layout_.images_of(chunk) * layout_.places();
    const int64_t end = layout_.images * layout_.places();
    for (int64_t i = 0; i < count && begin < end; ++i) {
      std::fill(rows + i * layout_.stride + begin, rows + i * layout_.stride + end, T{0});
    }
  }

  void finish(int64_t chunk, const T* rows) {
    const int64_t outputs = call_.outputs(), places = layout_.places();
    T* out = results_.output.mutable_data_ptr<T>() + chunk * layout_.images * outputs * places;
    for (int64_t image = 0; image < layout_.images_of(chunk); ++image) {
      for (int64_t channel = 0; channel < outputs; ++channel) {
        std::copy_n(rows + channel * layout_.stride + image * places, places,
                    out + (image * outputs + channel) * places);
      }
    }
  }

  const BlocksCall& call_;
  const StateLayout& layout_;
  const Tensor& input_;
  const BlocksOutput& results_;
  T* state_;
  T* mean_;
  T* variance_;
  const BlockEdges<T> edges_;
};

}  // namespace

BlocksOutput wired_blocks_forward(const BlocksCall& call, const Tensor& input, const Tensor& mean,
                                  const Tensor& variance) {
  const StateLayout layout(input.size(0), input.size(2), input.size(3));
  const auto options = input.options();
  const std::vector<int64_t> moments = call.statistics == Statistics::kInstance
                                           ? std::vector<int64_t>{layout.batch, call.own()}
                                           : std::vector<int64_t>{call.own()};
  BlocksOutput results{
      at::empty({layout.batch, call.outputs(), layout.height, layout.width}, options),
      call.statistics == Statistics::kGiven ? mean : at::full(moments, kNoMean, options),
      call.statistics == Statistics::kGiven ? variance : at::full(moments, kNoMean, options),
      at::empty({layout.chunks, call.channels(), layout.stride}, options)};
  if (input.size(0) == 0 || layout.places() == 0) {
    results.state.zero_();
    return results;
  }
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "wired_blocks",
                             [&] { Forward<scalar_t>(call, layout, input, results).run(); });
  return results;
}

}  // namespace rewire::ops
