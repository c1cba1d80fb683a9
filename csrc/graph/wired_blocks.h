// The block structure of a wired convolution: which rows and columns of one large matrix of
// candidate edges each block reads, and which candidates therefore can never matter.
#pragma once

#include <cstdint>
#include <vector>

namespace rewire::graph {

// One block: sends the channels of columns [begin, end) to all channels from `target` on.
struct WiredBlock {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t target = 0;
};

// The blocks of the static classifier: the first of `downsample` channels, the others sharing the
// rest equally; the last `feature` channels are the output, so no block's target lies beyond them.
//   target = min(end, dim - feature)
// Requires layers >= 2 and (dim - downsample) divisible by layers - 1.
std::vector<WiredBlock> static_blocks(int64_t dim, int64_t layers, int64_t downsample,
                                      int64_t feature);

// The blocks of `depth` convolutions that share a graph of `in` + (depth - 1) `out` channels that
// send and depth `out` that receive: the first sends the input's channels to all, the others those
// of a convolution to all behind it.
std::vector<WiredBlock> stage_blocks(int64_t in, int64_t out, int64_t depth);

// [out * in] by output, 1 where some block reads the edge.
std::vector<uint8_t> readable_edges(int64_t out, int64_t in, const std::vector<WiredBlock>& blocks);

// [out * in] by output, 1 where the published rule for static random graphs forbids the edge:
//   for i = 1, 2, ... while r = in_channels + (i - 1) out_channels < in:
//     no edge from channels [r, r + out_channels) to channels [0, i out_channels)
// All zero where out_channels is 0 (none given).
// Source: Wortsman, Farhadi, Rastegari 2019, published code.
std::vector<uint8_t> impossible_edges(int64_t out, int64_t in, int64_t in_channels,
                                      int64_t out_channels);

}  // namespace rewire::graph
