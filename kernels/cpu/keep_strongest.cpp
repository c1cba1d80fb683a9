#include "kernels/cpu/keep_strongest.h"

namespace rewire::kernels {

template <typename Bits>
void strongest_mask(const Magnitudes<Bits>& weight, const Cut<KeyOf<Bits>>& cut, int64_t begin,
                    int64_t end, bool* mask) {
  for_each_side(cut, begin, end, [&](int64_t from, int64_t to, KeyOf<Bits> lowest) {
    for (int64_t entry = from; entry < to; ++entry) mask[entry] = weight.key(entry) >= lowest;
  });
}

template <typename Bits>
void keep_strongest(const Magnitudes<Bits>& weight, const Cut<KeyOf<Bits>>& cut, int64_t begin,
                    int64_t end, Bits* out) {
  for_each_side(cut, begin, end, [&](int64_t from, int64_t to, KeyOf<Bits> lowest) {
    for (int64_t entry = from; entry < to; ++entry) {
      out[entry] = weight.key(entry) >= lowest ? weight.bits[entry] : Bits{0};
    }
  });
}

template void strongest_mask(const Magnitudes<uint16_t>&, const Cut<uint32_t>&, int64_t, int64_t,
                             bool*);
template void strongest_mask(const Magnitudes<uint32_t>&, const Cut<uint32_t>&, int64_t, int64_t,
                             bool*);
template void strongest_mask(const Magnitudes<uint64_t>&, const Cut<uint64_t>&, int64_t, int64_t,
                             bool*);
template void keep_strongest(const Magnitudes<uint16_t>&, const Cut<uint32_t>&, int64_t, int64_t,
                             uint16_t*);
template void keep_strongest(const Magnitudes<uint32_t>&, const Cut<uint32_t>&, int64_t, int64_t,
                             uint32_t*);
template void keep_strongest(const Magnitudes<uint64_t>&, const Cut<uint64_t>&, int64_t, int64_t,
                             uint64_t*);

}  // namespace rewire::kernels
