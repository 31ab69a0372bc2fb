#include "system/standing.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/capability.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

#include "system/calls.hpp"

namespace brood::sys {
namespace {

constexpr std::array namespaces = {"cgroup", "ipc", "mnt", "net", "pid_for_children", "time_for_children",
                                   "user",   "uts"};

/// From the line that begins with `first` to the end of the one that begins with `last`, proc_pid_status(5).
std::string_view lines(std::string_view status, std::string_view first, std::string_view last) {
  const std::size_t begin = status.find(first);
  const std::size_t end = status.find(last, begin == std::string_view::npos ? 0 : begin);
  if (begin == std::string_view::npos) return {};
  return status.substr(begin, status.find('\n', end) - begin);
}

mode_t mask_in(std::string_view status) {
  const std::string_view line = lines(status, "Umask:\t", "Umask:\t").substr(7);
  mode_t mask = 0;
  std::from_chars(line.data(), line.data() + line.size(), mask, 8);
  return mask;
}

/// Only in a process with one thread: for a moment the mask is another.
mode_t read_mask_by_setting_it() noexcept {
  const mode_t mask = ::umask(077);
  ::umask(mask);
  return mask;
}

std::string ask_for_ids() {
  uid_t uid[3];
  gid_t gid[3];
  getresuid(&uid[0], &uid[1], &uid[2]);
  getresgid(&gid[0], &gid[1], &gid[2]);
  std::string text = fmt::format("{} {} {} {} {} {}:", uid[0], uid[1], uid[2], gid[0], gid[1], gid[2]);
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(0, getgroups(0, nullptr))));
  const int count = getgroups(static_cast<int>(groups.size()), groups.data());
  for (int i = 0; i < count; ++i) text += fmt::format(" {}", groups[static_cast<std::size_t>(i)]);
  for (const std::uint32_t word : credentials::of_this_thread().capabilities)
    text += fmt::format(" {:x}", word);
  return text + fmt::format(" {} {}", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), ::prctl(PR_GET_SECCOMP));
}

}  // namespace

standing_reader::standing_reader() noexcept
    : status_(sys::open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC)),
      namespaces_(sys::open("/proc/thread-self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

void standing_reader::read(standing& into) {
  into.identity.clear();
  read_status(into);
  for (const char* each : namespaces) {
    char link[64];
    const ssize_t size = namespaces_ ? readlinkat(namespaces_.get(), each, link, sizeof link) : 0;
    if (size > 0) into.identity.append("\n").append(link, static_cast<std::size_t>(size));
  }
  struct stat root{};
  sys::stat("/", &root);
  for (const std::uint64_t word : {std::uint64_t{root.st_dev}, std::uint64_t{root.st_ino},
                                   static_cast<std::uint64_t>(::prctl(PR_GET_SECUREBITS))}) {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, word).ptr;
    into.identity.append(" ").append(digits, end);
  }
  for (unsigned i = 0; i < into.limits.size(); ++i)
    sys::getrlimit(static_cast<__rlimit_resource>(i), &into.limits[i]);
}

void standing_reader::read_status(standing& into) {
  ssize_t size = 0;
  text_.resize(4096);
  while (status_ &&
         (size = ::pread(status_.get(), text_.data(), text_.size(), 0)) == static_cast<ssize_t>(text_.size()))
    text_.resize(2 * text_.size());  // somebody in very many groups
  if (size <= 0) {
    into.identity = ask_for_ids();
    if (__libc_single_threaded) into.umask = read_mask_by_setting_it();
    return;
  }
  const std::string_view status(text_.data(), static_cast<std::size_t>(size));
  into.umask = mask_in(status);
  into.identity.append(lines(status, "\nUid:", "\nGid:"));
  into.identity.append(lines(status, "\nGid:", "\nFDSize:"));
  into.identity.append(lines(status, "\nGroups:", "\nGroups:"));
  into.identity.append(lines(status, "\nCapInh:", "\nCapAmb:"));
  into.identity.append(lines(status, "\nNoNewPrivs:", "\nNoNewPrivs:"));
  into.identity.append(lines(status, "\nSeccomp:", "\nSeccomp:"));
  into.identity.append(lines(status, "\nSeccomp_filters:", "\nSeccomp_filters:"));
}

credentials credentials::of_this_thread() noexcept {
  credentials result;
  uid_t user[2];
  gid_t group[2];
  getresuid(&user[0], &user[1], &result.saved_user);
  getresgid(&group[0], &group[1], &result.saved_group);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  syscall(SYS_capget, &header, result.capabilities.data());
  return result;
}

void credentials::adopt() const noexcept {
  constexpr auto same = static_cast<uid_t>(-1);
  if (setresgid(same, same, saved_group) != 0 || setresuid(same, same, saved_user) != 0) {
    // Whoever compares finds out.
  }
  std::array<std::uint32_t, 6> left = of_this_thread().capabilities;
  for (std::size_t i = 0; i < left.size(); ++i) left[i] &= capabilities[i];
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  syscall(SYS_capset, &header, left.data());
}

}  // namespace brood::sys
