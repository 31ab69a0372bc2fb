// death_watch: tells the loop which processes have ended.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>

#include "brood/runtime/fd_watch.hpp"
#include "brood/system/unique_fd.hpp"
#include "runtime/retry_timer.hpp"

namespace brood::detail {

/// Who is watched: one of the parent's children, by its id; a child of a dead child, by its id in
/// the family's memory; a fork server, by its pid.
struct mortal {
  enum class kind : std::uint8_t { child, orphan, server };
  kind what;
  std::uint64_t number;  // below 2^56
};

/// One epoll set of pidfds, itself watched by the loop: the cost of a death is the same however many are
/// watched. Those for which not one descriptor could be had, which are dying already, are looked at by a
/// timer.
class death_watch {
 public:
  /// The dead of one turn of the loop. Whoever is not removed then is told of again.
  using handler = std::function<void(std::span<const mortal>)>;

  death_watch(runtime& loop, handler on_deaths);
  /// False, with errno, if the kernel has no memory for it. The descriptor stays the caller's.
  bool add(int pidfd, mortal who) noexcept;
  void add_without_descriptor(pid_t pid, mortal who);
  void remove(int pidfd) noexcept;
  /// Also if it is not there.
  void remove_without_descriptor(mortal who) noexcept;

 private:
  void look();
  bool look_at_numbers();

  unique_fd pidfds_;
  fd_watch watch_;
  handler on_deaths_;
  std::unordered_map<std::uint64_t, pid_t> numbers_;  // of those without a descriptor
  retry_timer retry_;
};

}  // namespace brood::detail
