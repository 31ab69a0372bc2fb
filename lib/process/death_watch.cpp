#include "process/death_watch.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <span>

#include "brood/runtime/runtime.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"
#include "system/pidfd.hpp"

namespace brood::detail {
namespace {

// What one turn of the loop handles; the rest waits for the next, so that timers and others get theirs.
constexpr int batch = 64;

constexpr unsigned number_bits = 56;

constexpr std::uint64_t word_of(mortal who) {
  return std::uint64_t{static_cast<std::uint8_t>(who.what)} << number_bits | who.number;
}

constexpr mortal mortal_of(std::uint64_t word) {
  return {static_cast<mortal::kind>(word >> number_bits), word & ((std::uint64_t{1} << number_bits) - 1)};
}

unique_fd make_set() {
  unique_fd set(sys::epoll_create1(EPOLL_CLOEXEC));
  if (!set) sys::throw_errno("epoll_create1");
  return set;
}

}  // namespace

death_watch::death_watch(runtime& loop, handler on_deaths)
    : pidfds_(make_set()),
      watch_(loop, pidfds_.get(), [this](int) { look(); }),
      on_deaths_(std::move(on_deaths)),
      retry_(loop, [this] { return look_at_numbers(); }) {
  watch_.background();
  watch_.watch(fd_watch::readable);
}

bool death_watch::add(int pidfd, mortal who) noexcept {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = word_of(who);
  return sys::epoll_ctl(pidfds_.get(), EPOLL_CTL_ADD, pidfd, &event) == 0;
}

void death_watch::remove(int pidfd) noexcept { sys::epoll_ctl(pidfds_.get(), EPOLL_CTL_DEL, pidfd, nullptr); }

void death_watch::add_without_descriptor(pid_t pid, mortal who) {
  numbers_[word_of(who)] = pid;
  retry_.start();
}

void death_watch::remove_without_descriptor(mortal who) noexcept { numbers_.erase(word_of(who)); }

void death_watch::look() {
  epoll_event ended[batch];
  const int count = sys::epoll_wait(pidfds_.get(), ended, batch, 0);
  if (count <= 0) return;
  mortal dead[batch];  // without an allocation, which could be refused
  std::transform(ended, ended + count, dead, [](const epoll_event& each) {
    const std::uint64_t word = each.data.u64;  // a copy: epoll_event is packed
    return mortal_of(word);
  });
  on_deaths_(std::span(dead, static_cast<std::size_t>(count)));
}

bool death_watch::look_at_numbers() {
  mortal dead[batch];
  std::size_t count = 0;
  for (const auto& [word, pid] : numbers_) {
    if (count < batch && sys::has_ended_by_number(pid)) dead[count++] = mortal_of(word);
  }
  if (count > 0) on_deaths_(std::span(dead, count));
  return !numbers_.empty();
}

}  // namespace brood::detail
