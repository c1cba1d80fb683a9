// How the sanitizers run in a test program, and what they are told to leave out, with the reason.
// Each runtime asks for its own functions; the others are unused.
extern "C" {

const char* __asan_default_options() { return "detect_stack_use_after_return=1"; }

const char* __ubsan_default_options() { return "print_stacktrace=1"; }

// LibTorch's own parallel regions: the order of their threads is as little seen as that of ours
// would be (openmp_order.cpp), and what they copy by memcpy is then taken for a race. By name, and
// not by called_from_lib, which would also forget the locks that LibTorch takes.
const char* __tsan_default_suppressions() {
  return "race:at::native::\n"
         "race:at::TensorIteratorBase::\n"
         "race:c10::SmallVectorImpl\n"
         "race:dnnl::\n";
}

const char* __tsan_default_options() { return "second_deadlock_stack=1"; }
}
