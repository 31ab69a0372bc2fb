// Which use of which call is refused, and what has been used. In memory that all processes of a run share, so that the
// one who chose sees what came of it.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

#ifndef BROOD_REFUSAL_FUZZ
#error "build with -DBROOD_REFUSAL_FUZZ"
#endif

namespace refusal_fuzz {

/// Whose call: of the family's root, of its fork server, or of any other process.
enum class role : std::uint8_t { root, server, child };
inline constexpr unsigned roles = 3;
constexpr const char* name_of(role who) {
  return who == role::root ? "root" : who == role::server ? "server" : "child";
}

/// A call of the system or an allocation.
struct point {
  std::atomic<std::uint64_t> key;  // of its name; 0 while the place is free
  char name[24];
  std::array<std::atomic<std::uint32_t>, roles> uses;  // since `begin`
  std::atomic<std::uint32_t> error_count;
  int errors[8];
};

struct choice {
  std::uint32_t point = 0;
  role who = role::root;
  std::uint32_t use = 0;  // from 1; 0: nothing is refused
  int error = 0;
};

struct plan {
  std::array<point, 128> points;
  std::atomic<pid_t> root, server;
  std::atomic<bool> counting;
  choice chosen;
  std::atomic<bool> refused;
  std::atomic<int> depth;  // of `where`
  void* where[24];         // the calls that led to what was refused
};

/// The one plan. Mapped before `main`, so that the fork server has it too.
plan& the_plan() noexcept;

/// A run of its own: nothing was used or refused yet.
void begin(const choice& chosen) noexcept;

/// What this thread does meanwhile is no part of the run. For the harness itself.
class aside {
 public:
  aside() noexcept : was_(the_plan().counting.exchange(false)) {}
  ~aside() { the_plan().counting = was_; }
  aside(const aside&) = delete;
  aside& operator=(const aside&) = delete;

 private:
  bool was_;
};

}  // namespace refusal_fuzz
