// What is written of each marked entry: the two dense forms differ in nothing else.
#include "kernels/cuda/keep_strongest.h"

#include "kernels/cuda/strongest.cuh"

namespace rewire::kernels::cuda {
namespace {

struct WriteMask {
  bool* mask;

  template <typename Key>
  __device__ void operator()(int64_t entry, uint32_t kept, const Ties&, const Cut<Key>&) const {
    mask[entry] = kept >> lane() & 1;
  }
};

template <typename Bits>
struct WriteKept {
  const Bits* weight;
  Bits* out;

  template <typename Key>
  __device__ void operator()(int64_t entry, uint32_t kept, const Ties&, const Cut<Key>&) const {
    out[entry] = kept >> lane() & 1 ? weight[entry] : Bits{0};
  }
};

}  // namespace

template <typename Bits>
void strongest_mask(const Magnitudes<Bits>& weight, int64_t keep, bool* mask,
                    const Stream& stream) {
  for_each_marked<Ties>(weight, keep, WriteMask{mask}, stream);
}

template <typename Bits>
void keep_strongest(const Magnitudes<Bits>& weight, int64_t keep, Bits* out, const Stream& stream) {
  for_each_marked<Ties>(weight, keep, WriteKept<Bits>{weight.bits, out}, stream);
}

template void strongest_mask(const Magnitudes<uint16_t>&, int64_t, bool*, const Stream&);
template void strongest_mask(const Magnitudes<uint32_t>&, int64_t, bool*, const Stream&);
template void strongest_mask(const Magnitudes<uint64_t>&, int64_t, bool*, const Stream&);
template void keep_strongest(const Magnitudes<uint16_t>&, int64_t, uint16_t*, const Stream&);
template void keep_strongest(const Magnitudes<uint32_t>&, int64_t, uint32_t*, const Stream&);
template void keep_strongest(const Magnitudes<uint64_t>&, int64_t, uint64_t*, const Stream&);

}  // namespace rewire::kernels::cuda
