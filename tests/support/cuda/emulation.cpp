#include "support/cuda/emulation.h"

#include <fmt/format.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "support/cuda/order.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

thread_local dim3 threadIdx;
thread_local dim3 blockIdx;
thread_local dim3 blockDim;
thread_local dim3 gridDim;

namespace rewire::kernels::cuda::emulation {
namespace {

constexpr int kWarp = 32;
constexpr int kMostThreads = 1024;
constexpr size_t kMostSharedBytes = 227 << 10;  // of a block, compute capability 9.0
constexpr size_t kStackBytes = 64 << 10;

enum class State { kReady, kAtBlock, kAtWarp, kReturned };

// Where a fiber or the scheduler goes on. The compiler's own jumps between stacks: unlike
// swapcontext they ask the operating system for nothing, and a block switches very often.
using Place = void* [5];

struct Fiber {
  ucontext_t start;  // used once
  Place place;
  bool started = false;
  std::unique_ptr<char[]> stack = std::make_unique_for_overwrite<char[]>(kStackBytes);
  unsigned index = 0;
  State state = State::kReturned;
  std::string_view operation;  // at which it waits
  uint32_t mask = 0;
  uint64_t value = 0;
  LaneValues values;
};

// Tells the address sanitizer that the stack changes, where there is one.
struct StackSwitch {
  void* fake_stack = nullptr;

  void leave_for([[maybe_unused]] const void* stack, [[maybe_unused]] size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&fake_stack, stack, bytes);
#endif
  }
  void arrive([[maybe_unused]] const void** from, [[maybe_unused]] size_t* bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, from, bytes);
#endif
  }
};

// What runs on this thread of the host.
struct Machine {
  Order order = Order::kForward;
  std::mt19937_64 random;
  int64_t launches = 0;
  std::vector<Fiber> fibers{kMostThreads};
  std::vector<std::max_align_t> shared =
      std::vector<std::max_align_t>(kMostSharedBytes / sizeof(std::max_align_t));
  size_t shared_bytes = 0;
  Place scheduler;
  StackSwitch scheduler_stack;
  const void* host_stack = nullptr;
  size_t host_stack_bytes = 0;
  Fiber* running = nullptr;
  const std::function<void()>* thread = nullptr;
};

thread_local Machine machine;

std::vector<int64_t> turns(int64_t count) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  if (machine.order == Order::kBackward) std::reverse(order.begin(), order.end());
  if (machine.order == Order::kShuffled) {
    std::shuffle(order.begin(), order.end(), machine.random);
  }
  return order;
}

// Back to the scheduler, until it lets this fiber go on.
void wait(State state) {
  Fiber& fiber = *machine.running;
  fiber.state = state;
  StackSwitch stack;
  stack.leave_for(machine.host_stack, machine.host_stack_bytes);
  if (__builtin_setjmp(fiber.place) == 0) __builtin_longjmp(machine.scheduler, 1);
  stack.arrive(&machine.host_stack, &machine.host_stack_bytes);
}

void run_thread() {
  StackSwitch().arrive(&machine.host_stack, &machine.host_stack_bytes);
  (*machine.thread)();
  machine.running->state = State::kReturned;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(nullptr, machine.host_stack, machine.host_stack_bytes);
#endif
  __builtin_longjmp(machine.scheduler, 1);
}

void resume(Fiber& fiber) {
  machine.running = &fiber;
  threadIdx.x = fiber.index;
  machine.scheduler_stack.leave_for(fiber.stack.get(), kStackBytes);
  if (__builtin_setjmp(machine.scheduler) == 0) {
    if (fiber.started) __builtin_longjmp(fiber.place, 1);
    fiber.started = true;
    setcontext(&fiber.start);
  }
  machine.scheduler_stack.arrive(nullptr, nullptr);
}

void start(Fiber& fiber, unsigned index) {
  fiber.index = index;
  fiber.state = State::kReady;
  fiber.started = false;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.stack.get();
  fiber.start.uc_stack.ss_size = kStackBytes;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, run_thread, 0);
}

[[noreturn]] void fail(const std::string& what) {
  throw std::logic_error(fmt::format("block {}: {}", blockIdx.x, what));
}

std::string waiting(int block) {
  std::map<std::string, int> places;
  for (int i = 0; i < block; ++i) {
    const Fiber& fiber = machine.fibers[i];
    if (fiber.state == State::kReturned) continue;
    ++places[fiber.state == State::kAtBlock
                 ? "__syncthreads"
                 : fmt::format("{} of lanes {:#010x}", fiber.operation, fiber.mask)];
  }
  std::string text;
  for (const auto& [place, count] : places) {
    text +=
        fmt::format("{}{} of {} threads wait at {}", text.empty() ? "" : ", ", count, block, place);
  }
  return text;
}

// Lets the threads at a barrier of the block go on, if all that have not returned are there.
bool release_block(int block) {
  int waiting = 0;
  for (int i = 0; i < block; ++i) {
    const State state = machine.fibers[i].state;
    if (state != State::kAtBlock && state != State::kReturned) return false;
    waiting += state == State::kAtBlock;
  }
  for (int i = 0; i < block; ++i) {
    if (machine.fibers[i].state == State::kAtBlock) machine.fibers[i].state = State::kReady;
  }
  return waiting > 0;
}

// Lets the lanes of a mask go on with each other's values, if all of them are there.
bool release_lanes(Fiber* warp, int lanes, uint32_t mask) {
  std::string_view operation;
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    if (lane >= lanes || warp[lane].state == State::kReturned) {
      fail(fmt::format("lane {}, of mask {:#010x}, has returned or does not exist", lane, mask));
    }
    if (warp[lane].state != State::kAtWarp || warp[lane].mask != mask) return false;
    if (operation.empty()) operation = warp[lane].operation;
    if (operation != warp[lane].operation) {
      fail(fmt::format("lanes of mask {:#010x} are at {} and at {}", mask, operation,
                       warp[lane].operation));
    }
  }
  LaneValues values{};
  for (int lane = 0; lane < lanes; ++lane) values[lane] = warp[lane].value;
  for (int lane = 0; lane < lanes; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    std::copy_n(values, kWarp, warp[lane].values);
    warp[lane].state = State::kReady;
  }
  return true;
}

bool release_warp(Fiber* warp, int lanes) {
  bool released = false;
  for (int lane = 0; lane < lanes; ++lane) {
    if (warp[lane].state != State::kAtWarp) continue;
    if ((warp[lane].mask >> lane & 1) == 0) {
      fail(fmt::format("lane {} waits for mask {:#010x}, which lacks it", lane, warp[lane].mask));
    }
    released |= release_lanes(warp, lanes, warp[lane].mask);
  }
  return released;
}

// A warp runs as far as it can before another has its turn: as far ahead of the others as a barrier
// lets it.
void run_warp(Fiber* warp, int lanes) {
  const std::vector<int64_t> order = turns(lanes);
  do {
    for (const int64_t lane : order) {
      if (warp[lane].state == State::kReady) resume(warp[lane]);
    }
  } while (release_warp(warp, lanes));
}

void run_block(int block) {
  std::memset(machine.shared.data(), 0xa5, machine.shared_bytes);
  for (int i = 0; i < block; ++i) start(machine.fibers[i], i);
  do {
    for (const int64_t warp : turns((block + kWarp - 1) / kWarp)) {
      const int first = static_cast<int>(warp) * kWarp;
      run_warp(&machine.fibers[first], std::min(kWarp, block - first));
    }
  } while (release_block(block));
  const std::string left = waiting(block);
  if (!left.empty()) fail("deadlock: " + left);
}

}  // namespace

void set_order(Order order, uint64_t seed) {
  machine.order = order;
  machine.random.seed(seed);
}

int64_t launches() { return machine.launches; }

void launch_threads(const std::function<void()>& thread, int64_t grid, int block,
                    size_t shared_bytes) {
  if (grid < 1 || grid > INT32_MAX || block < 1 || block > kMostThreads ||
      shared_bytes > kMostSharedBytes) {
    throw std::logic_error(
        fmt::format("launch of {} blocks of {} threads with {} bytes of shared memory", grid, block,
                    shared_bytes));
  }
  ++machine.launches;
  machine.thread = &thread;
  machine.shared_bytes = shared_bytes;
  gridDim = {static_cast<unsigned>(grid)};
  blockDim = {static_cast<unsigned>(block)};
  for (const int64_t i : turns(grid)) {
    blockIdx = {static_cast<unsigned>(i)};
    run_block(block);
  }
}

void* shared_memory(size_t bytes) {
  if (bytes > machine.shared_bytes) {
    // Thrown in a fiber, an exception would find no handler.
    std::fputs("a kernel uses more shared memory than its launch asked for\n", stderr);
    std::abort();
  }
  return machine.shared.data();
}

const LaneValues& exchange(const char* operation, uint32_t mask, uint64_t value) {
  Fiber& fiber = *machine.running;
  fiber.operation = operation;
  fiber.mask = mask;
  fiber.value = value;
  wait(State::kAtWarp);
  return fiber.values;
}

}  // namespace rewire::kernels::cuda::emulation

void __syncthreads() {
  using namespace rewire::kernels::cuda::emulation;
  wait(State::kAtBlock);
}
