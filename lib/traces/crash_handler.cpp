// brood-traces' second part: handlers for the signals of a crash, which leave the stack for the parent. They run on a stack of
// their own, as the usual one may have overflowed, and allocate nothing, as the crash may be one of malloc's. Then they let the
// signal do what it did before: the program's own handler has its turn, and status and core are those of the crash.
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>

#include "runtime/crash_record.hpp"
#include "traces/frame_name.hpp"

extern "C" const char __executable_start;  // ld(1)

namespace {

using brood::detail::crash_record;
using brood::detail::crash_target;

constexpr std::array signals{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};

alignas(16) std::array<unsigned char, 64 * 1024> own_stack;  // untouched until it is needed
std::array<struct sigaction, signals.size()> before;
const crash_target* target = nullptr;
std::atomic<bool> noted = false;

std::uint64_t program() noexcept { return reinterpret_cast<std::uintptr_t>(&__executable_start); }

std::uint64_t crashed_at(const void* context) noexcept {
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return static_cast<std::uint64_t>(registers.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return registers.pc;
#else
  static_cast<void>(registers);
  return 0;
#endif
}

struct walk {
  crash_record* into;
  std::uint64_t from;  // the frames before it are this handler's
};

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* data) {
  auto& [into, from] = *static_cast<walk*>(data);
  int exact = 0;
  const std::uint64_t next = _Unwind_GetIPInfo(context, &exact);
  if (next == 0 || into->count == crash_record::most_frames) return _URC_END_OF_STACK;
  if (into->count == 0 && next != from) return _URC_NO_REASON;
  into->frames[into->count++] = exact != 0 ? next : next - 1;
  return _URC_NO_REASON;
}

void note(int signal, const siginfo_t& info, const void* context) noexcept {
  if (target == nullptr || target->record == nullptr) return;
  crash_record& record = *target->record;
  const std::uint64_t at = crashed_at(context);
  record.signal = signal;
  record.code = info.si_code;
  record.address = info.si_code > 0 ? reinterpret_cast<std::uintptr_t>(info.si_addr) : 0;
  record.program = program();
  record.count = 0;
  std::atomic_ref(*target->crashed).store(1, std::memory_order_release);  // the unwinder may crash itself
  walk frames{&record, at};
  _Unwind_Backtrace(note_frame, &frames);
  if (record.count == 0) record.frames[record.count++] = at;
}

/// A fault comes again when its instruction is tried again; anything else is to be sent again.
bool comes_again(int signal, const siginfo_t& info) noexcept {
  return info.si_code > 0 && (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE);
}

void on_crash(int signal, siginfo_t* info, void* context) noexcept {
  const int kept = errno;
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &before[i], nullptr);
  if (!noted.exchange(true)) note(signal, *info, context);
  if (!comes_again(signal, *info)) std::raise(signal);
  errno = kept;
}

void install(const crash_target& where) noexcept {
  target = &where;
  stack_t stack{};
  stack.ss_sp = own_stack.data();
  stack.ss_size = own_stack.size();
  sigaltstack(&stack, nullptr);
  struct sigaction action{};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &action, &before[i]);
}

std::string describe(const crash_record& record, bool as_here) {
  std::string text;
  for (const std::uint64_t call : record.calls()) {
    // In a fresh image the program lies elsewhere, and so do its libraries, of which nothing is known.
    const std::uint64_t here = as_here ? call : call - record.program + program();
    text += brood::detail::frame_line(reinterpret_cast<const void*>(here));
  }
  return text;
}

_Unwind_Reason_Code look_once(_Unwind_Context*, void*) { return _URC_END_OF_STACK; }

[[maybe_unused]] const bool announced = [] {
  _Unwind_Backtrace(look_once, nullptr);  // what it loads, it loads now
  brood::detail::set_crash_tracer({install, describe});
  return true;
}();

}  // namespace
