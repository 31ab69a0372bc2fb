// brood-traces, a library of its own: a `__cxa_throw` before the C++ library's that notes the stack of each throw. When
// an exception is caught its stack is gone, and neither C++20 nor C++23 keeps it. Apart from brood, as a program that is
// linked with this pays for its stack at every throw (about a microsecond a frame), and as others hook here too:
// AddressSanitizer, for one.
#include <dlfcn.h>
#include <unwind.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <typeinfo>

#include "runtime/throw_trace.hpp"
#include "traces/frame_name.hpp"

namespace {

constexpr int most_frames = 32;

struct noted_throw {
  const void* exception;
  std::uintptr_t thrower;  // where its throw returns to, if it did: the first of
  int count;
  std::array<void*, most_frames> frames;  // the calls, innermost first
};

// Several, as others may be thrown and caught on this exception's way to who asks: by destructors, or by the coroutines
// that it cancels.
thread_local std::array<noted_throw, 8> noted;
thread_local unsigned throws = 0;

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* destination) {
  auto& to = *static_cast<noted_throw*>(destination);
  const std::uintptr_t next = _Unwind_GetIP(context);
  if (to.count == most_frames) return _URC_END_OF_STACK;
  if (to.count == 0 && next != to.thrower) return _URC_NO_REASON;  // the hook's own
  to.frames[static_cast<std::size_t>(to.count++)] = reinterpret_cast<void*>(next - 1);
  return _URC_NO_REASON;
}

void note(const void* exception, const void* thrower) noexcept {
  noted_throw& here = noted[throws++ % noted.size()];
  here.exception = exception;
  here.thrower = reinterpret_cast<std::uintptr_t>(thrower);
  here.count = 0;
  _Unwind_Backtrace(note_frame, &here);
}

std::string trace_of(const std::exception_ptr& thrown) {
  const void* exception = nullptr;
  std::memcpy(&exception, &thrown, sizeof exception);  // all that libstdc++'s pointer holds
  for (std::size_t i = 1; i <= noted.size(); ++i) {
    const noted_throw& candidate = noted[(throws - i) % noted.size()];
    if (candidate.exception != exception) continue;
    std::string text;
    for (int frame = 0; frame < candidate.count; ++frame) {
      text += brood::detail::frame_line(candidate.frames[static_cast<std::size_t>(frame)]);
    }
    return text;
  }
  return {};
}

[[maybe_unused]] const bool announced = (brood::detail::set_throw_trace_source(trace_of), true);

}  // namespace

// By another name, as GCC has a declaration of its own for the real one, with other types.
extern "C" [[gnu::visibility("default")]] void brood_note_and_throw(
    void* exception, std::type_info* type, void (*destroy)(void*)) __asm__("__cxa_throw");

void brood_note_and_throw(void* exception, std::type_info* type, void (*destroy)(void*)) {
  using thrower = void (*)(void*, std::type_info*, void (*)(void*));
  static const auto next = reinterpret_cast<thrower>(dlsym(RTLD_NEXT, "__cxa_throw"));
  note(exception, __builtin_return_address(0));
  next(exception, type, destroy);
  std::abort();
}
