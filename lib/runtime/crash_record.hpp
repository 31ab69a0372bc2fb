// What is left of a crash: written by the crash handler of brood-traces in a child that dies of it, read by its parent.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "brood/export.hpp"

namespace brood::detail {

/// In memory that the child shares with its parent, one for each slot of the spawn table. It holds something once the slot's
/// `crashed` says so: the child writes it, then that, and dies; the parent looks when it has reaped the child.
struct crash_record {
  static constexpr std::uint32_t most_frames = 60;
  std::int32_t signal;
  std::int32_t code;      // si_code, sigaction(2)
  std::uint64_t address;  // that a fault was about
  std::uint64_t program;  // where the program lies in the child
  std::uint32_t count;
  std::uint32_t spare;
  std::uint64_t frames[most_frames];  // the innermost first: addresses of the calls

  std::span<const std::uint64_t> calls() const noexcept { return std::span(frames).first(count); }
};
static_assert(sizeof(crash_record) == 512);

/// Where this process is to leave a record; null in one that has no slot.
struct crash_target {
  crash_record* record = nullptr;
  std::uint16_t* crashed = nullptr;
};

/// What brood-traces brings.
struct crash_tracer {
  /// Installs the handlers, which children inherit. They write to what `target` points to.
  void (*install)(const crash_target& target) noexcept;
  /// A line for each frame. `as_here`: the child had its modules where this process has them.
  std::string (*describe)(const crash_record& record, bool as_here);
};

/// Set before `main` by brood-traces.
BROOD_API void set_crash_tracer(const crash_tracer& tracer) noexcept;

/// Whether this program has brood-traces.
bool traces_crashes() noexcept;
/// In what children are cloned from, after `preload`, and in a fresh image: nothing without brood-traces.
void install_crash_handlers() noexcept;
/// In a child.
void aim_crash_handlers(const crash_target& target) noexcept;
std::string describe_crash(const crash_record& record, bool as_here);

}  // namespace brood::detail
