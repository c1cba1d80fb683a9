// How the sanitizers run in a test program, and what they are told to leave out, with the reason.
// Each runtime asks for its own functions; the others are unused.
extern "C" {

const char* __asan_default_options() { return "detect_stack_use_after_return=1"; }

const char* __ubsan_default_options() { return "print_stacktrace=1"; }

const char* __tsan_default_options() { return "second_deadlock_stack=1"; }
}
