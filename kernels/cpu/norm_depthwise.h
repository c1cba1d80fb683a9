// The channels of a wired block before its edges: normalisation, ReLU and a depthwise 3x3
// convolution (padding 1, no bias), one channel of one image at a time.
//   a = x * scale + shift,   y = max(a, 0),   z = depthwise(y)
#pragma once

#include <cstdint>
#include <vector>

namespace rewire::kernels {

inline constexpr int64_t kTaps = 9;

// What the functions below need for maps of one size: masks, and room for the rows that they
// compute with. One a thread.
//
// A row of the map is not padded: a neighbour to the left is the element before, and where that is
// the last of the row above, a copy of the map in which the last column is 0 is read instead; so
// for the right. Above and below the map lie zeros.
template <typename T>
class MapScratch {
 public:
  // step: the convolution's stride, from one place of z to the next.
  MapScratch(int64_t height, int64_t width, int64_t step = 1);
  MapScratch(MapScratch&&) = default;  // the pointers stay where they point to

  int64_t height, width, step;
  int64_t places;  // height * width
  int64_t padded;  // places, rounded up to whole vectors

  // Masks of [padded], all bits or none: of places; of those not in the last column; not in the
  // first.
  const T* all = nullptr;
  const T* not_last = nullptr;
  const T* not_first = nullptr;

  // Three copies of a map: as it is, without its last column, without its first.
  struct Copies {
    T* all = nullptr;
    T* not_last = nullptr;
    T* not_first = nullptr;
  };
  Copies y;
  Copies grad_z;
  T* x = nullptr;  // [padded]
  T* out = nullptr;

 private:
  std::vector<T> memory_;
};

// A run of channels of one image: rows of `places` elements (of z, those of its own map), `stride`
// elements apart.
template <typename T>
struct Rows {
  T* data = nullptr;
  int64_t stride = 0;
  int64_t count = 0;
};

// Mean and sum of squared deviations from it, of each row.
template <typename T>
void row_moments(const Rows<const T>& x, MapScratch<T>& scratch, T* mean, T* deviation);

// Per channel: a = x * scale + shift, as above; and the mean of x.
template <typename T>
struct Norm {
  const T* scale = nullptr;
  const T* shift = nullptr;
  const T* mean = nullptr;
};

// z of x, row by row. taps [count, 9].
template <typename T>
void norm_depthwise(const Rows<const T>& x, const Norm<T>& norm, const T* taps,
                    MapScratch<T>& scratch, const Rows<T>& z);

// Sums over the places of rows, added to what is there.
template <typename T>
struct NormDepthwiseSums {
  T* taps = nullptr;    // [count, 9] gradient of the depthwise weight
  T* shift = nullptr;   // [count] of da: gradient of the shift
  T* scaled = nullptr;  // [count] of da * (x - mean)
};

// From dz to da, the gradient of a, which may take its place at step 1; and z once more, as it was.
template <typename T>
void norm_depthwise_backward(const Rows<const T>& x, const Norm<T>& norm, const T* taps,
                             MapScratch<T>& scratch, const Rows<T>& z, const Rows<const T>& dz,
                             const Rows<T>& da, const NormDepthwiseSums<T>& sums);

// The gradient of x, by channel: from that of a, and from the statistics that are functions of x.
//   out = (adds ? out : 0) + of_grad * da + of_x * (x - mean) + plus
// where out may be da, unless it adds.
template <typename T>
struct NormBackward {
  T of_grad;
  T of_x;
  T mean;
  T plus;
};
template <typename T>
void norm_backward(const Rows<const T>& x, const Rows<const T>& da, const NormBackward<T>* by,
                   const Rows<T>& out, int64_t places, bool adds);

}  // namespace rewire::kernels
