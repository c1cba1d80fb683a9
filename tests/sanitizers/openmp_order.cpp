// Tells the thread sanitizer in which order an OpenMP region runs. The OpenMP runtime is not
// instrumented: without this, what a thread wrote before at::parallel_for and a worker reads in it,
// or the other way round after it, is reported as a race. Calls of our own code to GOMP_parallel
// come here (-Wl,--wrap); races between the workers of one region are still found.
#include <sanitizer/tsan_interface.h>

namespace {

struct Region {
  void (*body)(void*);
  void* data;
  char begin = 0, end = 0;  // their addresses stand for the two moments
};

void run(void* argument) {
  Region& region = *static_cast<Region*>(argument);
  __tsan_acquire(&region.begin);
  region.body(region.data);
  __tsan_release(&region.end);
}

}  // namespace

extern "C" {
void __real_GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);

void __wrap_GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  Region region{body, data};
  __tsan_release(&region.begin);
  __real_GOMP_parallel(run, &region, threads, flags);
  __tsan_acquire(&region.end);
}
}
