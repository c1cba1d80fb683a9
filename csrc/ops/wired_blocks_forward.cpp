// An image's state stays in the second cache while all blocks pass over it, where a block's
// statistics are the image's own. Statistics of the batch need all images before a block: then
// blocks are the outer loop.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "ops/sum_over_peers.h"
#include "ops/wired_blocks_steps.h"

namespace rewire::ops {
namespace {

using at::Tensor;

// Room that a thread computes with.
template <typename T>
struct Workspace {
  kernels::MapScratch<T> maps, entry_maps;
  std::vector<T> scale, shift;
  Tensor z;      // [largest block, stride]
  Tensor out;    // [outputs, stride]
  Tensor state;  // [channels, stride], where chunks have none of their own

  Workspace(const BlocksCall& call, const StateLayout& layout, const Tensor& input,
            const at::TensorOptions& options)
      : maps(layout.height, layout.width),
        entry_maps(input.size(2), input.size(3), std::max<int64_t>(1, call.entry_stride)),
        scale(call.parameters()),
        shift(call.parameters()),
        z(at::zeros({call.largest_block(), layout.stride}, options)),
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
        mean_(statistics(results.mean)),
        variance_(statistics(results.variance)),
        edges_(call, layout.stride, Direction::kForward) {
    const auto options = results.output.options();
    const int64_t count =
        std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), layout.chunks));
    for (int64_t i = 0; i < count; ++i) workspaces_.emplace_back(call, layout, input, options);
    if (call.keep_state) {
      states_ = results.state;
    } else if (call.statistics == Statistics::kBatch) {
      states_ = at::empty({layout.chunks, call.channels(), layout.stride}, options);
    } else {
      for (Workspace<T>& work : workspaces_) {
        work.state = at::empty({call.channels(), layout.stride}, options);
      }
    }
  }

  void run() {
    if (call_.statistics != Statistics::kBatch) {
      for_each_chunk([&](int64_t chunk, Workspace<T>& work) {
        start(chunk, work);
        for (int64_t block = 0; block < call_.num_blocks(); ++block) {
          if (call_.statistics == Statistics::kInstance) take_moments(chunk, block, work);
          send(chunk, block, work);
        }
      });
      return;
    }
    for_each_chunk([&](int64_t chunk, Workspace<T>& work) { start(chunk, work); });
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

  // A workspace's chunks on one thread, in order.
  template <typename F>
  void for_each_chunk(F&& f) {
    const int64_t count = workspaces_.size();
    at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        for (int64_t chunk = layout_.chunks * i / count; chunk < layout_.chunks * (i + 1) / count;
             ++chunk) {
          f(chunk, workspaces_[i]);
        }
      }
    });
  }

  T* row(int64_t chunk, int64_t channel, Workspace<T>& work) {
    if (work.state.defined()) {
      return work.state.template mutable_data_ptr<T>() + channel * layout_.stride;
    }
    return states_.mutable_data_ptr<T>() + (chunk * call_.channels() + channel) * layout_.stride;
  }

  // The input, and zeros in all other channels and columns. An entry does so by itself.
  void start(int64_t chunk, Workspace<T>& work) {
    if (call_.is_entry(0)) return;
    const int64_t given = input_.size(1), places = layout_.places();
    const T* in = input_.const_data_ptr<T>() + chunk * layout_.images * given * places;
    std::fill_n(row(chunk, given, work), (call_.channels() - given) * layout_.stride, T{0});
    const int64_t images = layout_.images_of(chunk), rest = layout_.stride - images * places;
    for (int64_t channel = 0; channel < given; ++channel) {
      T* to = row(chunk, channel, work);
      for (int64_t image = 0; image < images; ++image) {
        std::copy_n(in + (image * given + channel) * places, places, to + image * places);
      }
      std::fill_n(to + images * places, rest, T{0});
    }
  }

  // What a block reads of an image, of which the chunk has some.
  kernels::Rows<const T> source(int64_t chunk, int64_t index, int64_t image, Workspace<T>& work) {
    const Block& block = call_.blocks[index];
    if (call_.is_entry(index)) {
      const int64_t places = input_.size(2) * input_.size(3);
      const T* in = input_.const_data_ptr<T>();
      return {in + (chunk * layout_.images + image) * block.size * places, places, block.size};
    }
    return {row(chunk, block.channel, work) + image * layout_.places(), layout_.stride, block.size};
  }
  kernels::MapScratch<T>& maps(Workspace<T>& work, int64_t index) const {
    return call_.is_entry(index) ? work.entry_maps : work.maps;
  }

  // Mean and variance of each image's own channels.
  void take_moments(int64_t chunk, int64_t index, Workspace<T>& work) {
    const Block& block = call_.blocks[index];
    kernels::MapScratch<T>& scratch = maps(work, index);
    for (int64_t image = 0; image < layout_.images_of(chunk); ++image) {
      const int64_t first = (chunk * layout_.images + image) * call_.parameters() + block.parameter;
      kernels::row_moments<T>(source(chunk, index, image, work), scratch, mean_ + first,
                              variance_ + first);
      for (int64_t c = first; c < first + block.size; ++c) variance_[c] /= T(scratch.places);
    }
  }

  // The same over the batch, from the moments of each image, in float64.
  void take_batch_moments(int64_t index) {
    const int64_t size = call_.blocks[index].size, begin = call_.blocks[index].parameter;
    std::vector<T> means(layout_.batch * size), squares(layout_.batch * size);
    for_each_chunk([&](int64_t chunk, Workspace<T>& work) {
      for (int64_t image = 0; image < layout_.images_of(chunk); ++image) {
        const int64_t first = (chunk * layout_.images + image) * size;
        kernels::row_moments<T>(source(chunk, index, image, work), maps(work, index),
                                means.data() + first, squares.data() + first);
      }
    });
    const double places = maps(workspaces_.front(), index).places;
    std::vector<double> sums(size + 1), offs(size);
    for (int64_t c = 0; c < size; ++c) {
      for (int64_t i = 0; i < layout_.batch; ++i) sums[c] += means[i * size + c];
    }
    sums[size] = double(layout_.batch);
    sum_over_peers(sums, call_.group);
    const double batch = sums[size];
    for (int64_t c = 0; c < size; ++c) {
      const double mean = sums[c] / batch;
      mean_[begin + c] = T(mean);
      for (int64_t i = 0; i < layout_.batch; ++i) {
        const double off = means[i * size + c] - mean;
        offs[c] += squares[i * size + c] + places * off * off;
      }
    }
    sum_over_peers(offs, call_.group);
    for (int64_t c = 0; c < size; ++c) variance_[begin + c] = T(offs[c] / (batch * places));
  }

  // Adds what a block sends to the state, the last one to the output. An entry is the first to.
  void send(int64_t chunk, int64_t index, Workspace<T>& work) {
    const Block& block = call_.blocks[index];
    T* z = work.z.template mutable_data_ptr<T>();
    for (int64_t image = 0; image < layout_.images_of(chunk); ++image) {
      const auto norm = norm_of<T>(call_, mean_, variance_, chunk * layout_.images + image, block,
                                   work.scale, work.shift);
      kernels::norm_depthwise<T>(
          source(chunk, index, image, work), norm,
          call_.depthwise.const_data_ptr<T>() + block.parameter * kernels::kTaps, maps(work, index),
          {z + image * layout_.places(), layout_.stride, block.size});
    }
    clear_missing(chunk, z, block.size);
    const bool entry = call_.is_entry(index), last = index == call_.num_blocks() - 1;
    T* target = last ? work.out.template mutable_data_ptr<T>() : row(chunk, block.target, work);
    if (last && !entry) {
      std::copy_n(row(chunk, block.target, work), call_.outputs() * layout_.stride, target);
    }
    edges_.multiply(index, z, target, layout_.stride, layout_.stride,
                    entry ? kernels::Start::kZero : kernels::Start::kTarget);
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
  Tensor states_;  // [chunks, channels, stride], or none: a workspace's next chunk takes its last's
  T* mean_;
  T* variance_;
  const BlockEdges<T> edges_;
  std::vector<Workspace<T>> workspaces_;
};

// Of the candidates that the blocks read.
double density(const BlocksCall& call) {
  double edges = 0, readable = 0;
  for (const Block& block : call.blocks) {
    call.edges_of(block).for_each([&](int64_t, int64_t, int64_t) { ++edges; });
    readable += double(call.sent(block)) * double(block.size);
  }
  return edges / readable;
}

}  // namespace

void BlocksOnCpu::resolve(const char* op, std::string_view execution, BlocksCall& call) {
  if (!call.structure) return;
  check_edges(op, *call.structure);
  call.execution = resolve_execution(execution, density(call), at::kCPU, call.weight.scalar_type());
}

BlocksOutput BlocksOnCpu::forward(const BlocksCall& call, const Tensor& input, const Tensor& mean,
                                  const Tensor& variance) {
  const StateLayout layout(call, input);
  const auto options = input.options();
  const bool given = call.statistics == Statistics::kGiven;
  const auto moments = moments_of(call, layout.batch);
  BlocksOutput results{
      at::empty({layout.batch, call.outputs(), layout.height, layout.width}, options),
      given ? mean : at::empty(moments, options), given ? variance : at::empty(moments, options),
      at::empty({layout.chunks, call.kept_channels(), layout.stride}, options)};
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "wired_blocks",
                             [&] { Forward<scalar_t>(call, layout, input, results).run(); });
  return results;
}

}  // namespace rewire::ops
