// Between a batch of maps [images][channels][places] and rows of columns [channels][kTile], where a
// column is one place of one image: maps that are too small, or lie too crookedly, for a product.
#pragma once

#include <cstdint>

namespace rewire::kernels {

// A batch of maps of one type. Those of an image are contiguous.
template <typename T>
struct Maps {
  T* data = nullptr;
  int64_t channels = 0;
  int64_t places = 0;  // of one channel of one image
  int64_t stride = 0;  // elements from one image to the next
};

// Columns [begin, end) of the batch, at most kTile of them, counted image by image; rows are kTile
// elements apart. pack sets the columns that are missing from a whole tile to 0.
template <typename T>
void pack(const Maps<const T>& maps, int64_t begin, int64_t end, T* rows);
template <typename T>
void unpack(const T* rows, int64_t begin, int64_t end, const Maps<T>& maps);

}  // namespace rewire::kernels
