#include "system/standing.hpp"

#include <fcntl.h>
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
  return status.substr(begin, status.find('\n', end + 1) - begin);
}

/// `otherwise` if it does not tell.
mode_t mask_in(std::string_view status, mode_t otherwise) {
  constexpr std::string_view name = "Umask:\t";
  const std::string_view line = lines(status, name, name);
  mode_t mask = otherwise;
  if (!line.empty()) std::from_chars(line.data() + name.size(), line.data() + line.size(), mask, 8);
  return mask;
}

std::array<std::uint32_t, 6> capabilities_of_this_thread() noexcept {
  std::array<std::uint32_t, 6> result{};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  syscall(SYS_capget, &header, result.data());
  return result;
}

/// Only in a process with one thread: for a moment the mask is another.
mode_t read_mask_by_setting_it() noexcept {
  const mode_t mask = ::umask(077);
  ::umask(mask);
  return mask;
}

template <class T>
void append(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_groups(std::string& to) {
  std::array<gid_t, 64> few;
  int count = getgroups(few.size(), few.data());
  if (count >= 0)
    return static_cast<void>(
        to.append(reinterpret_cast<char*>(few.data()), static_cast<std::size_t>(count) * sizeof(gid_t)));
  std::vector<gid_t> many(static_cast<std::size_t>(std::max(0, getgroups(0, nullptr))));
  count = getgroups(static_cast<int>(many.size()), many.data());
  for (int i = 0; i < count; ++i) append(to, many[static_cast<std::size_t>(i)]);
}

}  // namespace

void standing_reader::read_ids_and_limits(standing& into) {
  into.ids.clear();
  uid_t user[3];
  gid_t group[3];
  getresuid(&user[0], &user[1], &user[2]);
  getresgid(&group[0], &group[1], &group[2]);
  append(into.ids, user);
  append(into.ids, group);
  append_groups(into.ids);
  append(into.ids, capabilities_of_this_thread());
  for (const int what : {PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_GET_SECUREBITS})
    append(into.ids, ::prctl(what, 0, 0, 0, 0));
  if (__libc_single_threaded) into.umask = read_mask_by_setting_it();
  for (unsigned i = 0; i < into.limits.size(); ++i)
    sys::getrlimit(static_cast<__rlimit_resource>(i), &into.limits[i]);
}

void standing_reader::read(standing& into) {
  read_ids_and_limits(into);
  open_files();
  into.place.clear();
  if (status_ && namespaces_) read_place(into);
}

void standing_reader::open_files() noexcept {
  if (!status_) status_ = unique_fd(sys::open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC));
  if (!namespaces_)
    namespaces_ = unique_fd(sys::open("/proc/thread-self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

void standing_reader::read_place(standing& into) {
  ssize_t size = 0;
  text_.resize(4096);
  while ((size = ::pread(status_.get(), text_.data(), text_.size(), 0)) == static_cast<ssize_t>(text_.size()))
    text_.resize(2 * text_.size());  // somebody in very many groups
  if (size <= 0) return;
  const std::string_view status(text_.data(), static_cast<std::size_t>(size));
  into.umask = mask_in(status, into.umask);
  into.place.append(lines(status, "\nCapBnd:", "\nCapAmb:"));
  into.place.append(lines(status, "\nSeccomp_filters:", "\nSeccomp_filters:"));
  for (const char* each : namespaces) {
    char link[64];
    const ssize_t length = readlinkat(namespaces_.get(), each, link, sizeof link);
    if (length > 0) into.place.append("\n").append(link, static_cast<std::size_t>(length));
  }
  struct stat root{};
  if (sys::stat("/", &root) != 0) return into.place.clear();
  append(into.place, root.st_dev);
  append(into.place, root.st_ino);
}

credentials credentials::of_this_thread() noexcept {
  credentials result;
  uid_t user[2];
  gid_t group[2];
  getresuid(&user[0], &user[1], &result.saved_user);
  getresgid(&group[0], &group[1], &result.saved_group);
  result.capabilities = capabilities_of_this_thread();
  return result;
}

void credentials::adopt() const noexcept {
  constexpr auto same = static_cast<uid_t>(-1);
  if (::setresgid(same, same, saved_group) != 0 || ::setresuid(same, same, saved_user) != 0) {
    // Whoever compares finds out.
  }
  std::array<std::uint32_t, 6> left = of_this_thread().capabilities;
  for (std::size_t i = 0; i < left.size(); ++i) left[i] &= capabilities[i];
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  syscall(SYS_capset, &header, left.data());
}

}  // namespace brood::sys
