// orphan_watch: children of dead processes, until they have ended and what they held is given back.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <unordered_map>

#include "brood/arena/arena.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/system/unique_fd.hpp"
#include "process/death_watch.hpp"
#include "runtime/retry_timer.hpp"

namespace brood::detail {

/// Their parents have left them to the family. Whoever gives back what a dead process held takes over its children.
class orphan_watch {
 public:
  orphan_watch(runtime& loop, death_watch& deaths);
  /// A process has ended.
  void end_in_memory(process_id id);
  /// One that is watched, under this number, has ended.
  void on_death(std::uint64_t number);

 private:
  struct watched {
    pid_t pid = 0;
    unique_fd pidfd;  // empty if none could be had
  };
  bool adopt() noexcept;
  bool await(const orphan& left) noexcept;

  death_watch& deaths_;
  std::unordered_map<std::uint64_t, watched> watched_;  // by the number that the watch knows them by
  retry_timer retry_;
};

}  // namespace brood::detail
