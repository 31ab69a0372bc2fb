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
                                "opening a standard stream",
                                "setenv",
                                "chdir",
                                "setpriority",
                                "sched_setaffinity",
                                "setrlimit",
                                "execve",
                                "decoding its request"};
  static_assert(names.size() == static_cast<std::size_t>(stage::decode) + 1);
  const auto index = static_cast<std::size_t>(s);
  return index < names.size() ? names[index] : "an unknown step";
}

}  // namespace brood::detail
