#include "graph/wired_blocks.h"

#include <algorithm>

namespace rewire::graph {
namespace {

// Sets rows x columns of a [*, width] matrix to 1.
void fill(std::vector<uint8_t>& matrix, int64_t width, int64_t row_begin, int64_t row_end,
          int64_t column_begin, int64_t column_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    std::fill(matrix.begin() + row * width + column_begin,
              matrix.begin() + row * width + column_end, uint8_t{1});
  }
}

}  // namespace

std::vector<WiredBlock> static_blocks(int64_t dim, int64_t layers, int64_t downsample,
                                      int64_t feature) {
  const int64_t size = (dim - downsample) / (layers - 1);
  std::vector<WiredBlock> blocks;
  for (int64_t i = 0; i < layers; ++i) {
    const int64_t begin = i == 0 ? 0 : downsample + (i - 1) * size;
    const int64_t end = downsample + i * size;
    blocks.push_back({begin, end, std::min(end, dim - feature)});
  }
  return blocks;
}

std::vector<WiredBlock> stage_blocks(int64_t in, int64_t out, int64_t depth) {
  std::vector<WiredBlock> blocks{{0, in, 0}};
  for (int64_t i = 1; i < depth; ++i) {
    blocks.push_back({blocks.back().end, blocks.back().end + out, i * out});
  }
  return blocks;
}

std::vector<uint8_t> readable_edges(int64_t out, int64_t in,
                                    const std::vector<WiredBlock>& blocks) {
  std::vector<uint8_t> readable(out * in, 0);
  for (const WiredBlock& block : blocks)
    fill(readable, in, block.target, out, block.begin, block.end);
  return readable;
}

std::vector<uint8_t> impossible_edges(int64_t out, int64_t in, int64_t in_channels,
                                      int64_t out_channels) {
  std::vector<uint8_t> impossible(out * in, 0);
  if (out_channels <= 0) return impossible;
  for (int64_t i = 1, begin = in_channels; begin < in; ++i, begin += out_channels) {
    fill(impossible, in, 0, std::min(i * out_channels, out), begin,
         std::min(begin + out_channels, in));
  }
  return impossible;
}

}  // namespace rewire::graph
