#include "process/protocol.hpp"

namespace brood::detail {

const char* name_of(stage s) noexcept {
  // In the order of the stages.
  constexpr std::array names = {"",
                                "clone",
                                "receiving descriptors in the fork server",
                                "receiving its request in the fork server",
                                "setting up its session",
                                "TIOCSCTTY",
                                "setpgid",
                                "opening a standard stream",
                                "giving it a descriptor",
                                "setenv",
                                "chroot",
                                "chdir",
                                "setpriority",
                                "sched_setaffinity",
                                "sched_setscheduler",
                                "ioprio_set",
                                "writing its oom_score_adj",
                                "setrlimit",
                                "setgroups",
                                "setresgid",
                                "setresuid",
                                "setting no_new_privs",
                                "setting its signals",
                                "execve",
                                "decoding its request"};
  static_assert(names.size() == static_cast<std::size_t>(stage::decode) + 1);
  const auto index = static_cast<std::size_t>(s);
  return index < names.size() ? names[index] : "an unknown step";
}

}  // namespace brood::detail
