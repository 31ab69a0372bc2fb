// orphan_watch: processes that nobody else watches, until they have ended and what they held is given back.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "brood/arena/arena.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/system/unique_fd.hpp"
#include "process/death_watch.hpp"
#include "runtime/retry_timer.hpp"

namespace brood::detail {

struct left_child;

/// Children of dead processes, whose parents have left them to the family: whoever gives back what a dead process held takes over
/// its children. And this process's own that an earlier runtime has left. The destructor leaves all of them to the next watch.
class orphan_watch {
 public:
  /// `left` outlives this. `on_empty`: when there is nobody to watch any more.
  orphan_watch(runtime& loop, death_watch& deaths, std::vector<left_child>& left,
               std::function<void()> on_empty = {});
  ~orphan_watch();
  /// A process has ended.
  void end_in_memory(process_id id);
  /// One that is watched, under this number, has ended.
  void on_death(std::uint64_t number);

 private:
  struct watched {
    process_id id;  // none for a program
    pid_t pid = 0;
    bool own = false;  // this process's child, to be reaped
    unique_fd pidfd;   // empty if none could be had
  };
  bool adopt() noexcept;
  bool await(process_id id, pid_t pid, bool own) noexcept;

  death_watch& deaths_;
  std::unordered_map<std::uint64_t, watched> watched_;  // by the number that the watch knows them by
  std::vector<left_child>& left_;
  std::function<void()> on_empty_;
  retry_timer retry_;
};

}  // namespace brood::detail
