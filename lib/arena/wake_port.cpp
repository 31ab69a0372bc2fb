// The wake port: a datagram socket with a random abstract name, and the guard of the loop's sleep.
#include "brood/arena/detail/wake_port.hpp"

#include <sys/random.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>

#include "arena/port_address.hpp"
#include "brood/arena/family_memory.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"
#include "system/processors.hpp"

namespace brood::detail {
namespace {

// One port, as a process has one slot. A fork that adopts a slot of its own starts anew, hence the slot.
std::uint64_t port_of_slot = 0;
std::uint64_t datagrams = 0;

}  // namespace

wake_port::wake_port(runtime& loop)
    : loop_(loop), memory_(family_memory::get()), spin_(sys::usable_processors()) {
  memory_.processes.require_slot();
  if (port_of_slot == memory_.processes.me()) {
    throw std::logic_error(
        "brood: shared objects are awaited on one loop of a process, and another loop already does");
  }
  socket_ = unique_fd(sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) sys::throw_errno("socket");
  std::uint64_t name[2] = {};
  if (sys::getrandom(name, sizeof name) != sizeof name) sys::throw_errno("getrandom");
  name[0] |= 1;  // 0 means that there is no port
  const port_address address(name);
  if (sys::bind(socket_.get(), address.get(), address.length()) != 0) sys::throw_errno("bind");
  watch_ = std::make_unique<fd_watch>(loop, socket_.get(), [this](int) { receive(); });
  watch_->watch(fd_watch::readable);
  watch_->background();
  memory_.processes.my_slot().port_name[1].store(name[1], std::memory_order_relaxed);
  memory_.processes.my_slot().port_name[0].store(name[0], std::memory_order_release);
  loop.set_sleep_guard(this);
  port_of_slot = memory_.processes.me();
  datagrams = 0;
}

wake_port::~wake_port() {
  loop_.set_sleep_guard(nullptr);
  if (family_memory::exists() && port_of_slot == memory_.processes.me()) {
    memory_.processes.my_slot().sleeping.store(0, std::memory_order_relaxed);
    memory_.processes.my_slot().port_name[0].store(0, std::memory_order_release);
    port_of_slot = 0;
  }
}

task<> wake_port::shut_down() {
  watch_.reset();
  co_return;
}

void wake_port::look() noexcept { memory_.wakes.drain(); }

bool wake_port::spin() noexcept {
  constexpr int looks_between_clock_reads = 8;
  const auto end = clock::now() + spin_.limit();
  do {
    for (int i = 0; i < looks_between_clock_reads; ++i) {
      if (memory_.wakes.anything_woken()) return true;
      cpu_relax();
    }
  } while (clock::now() < end);
  return false;
}

bool wake_port::about_to_sleep() noexcept {
  asleep_since_ = {};
  if (spin_.wanted()) {
    const bool found = spin();
    spin_.spun(found);
    if (found) {
      memory_.wakes.drain();
      return false;
    }
  }
  word& sleeping = memory_.processes.my_slot().sleeping;
  sleeping.store(1, std::memory_order_seq_cst);
  kill_point();
  if (!memory_.wakes.anything_woken()) {
    asleep_since_ = clock::now();
    return true;
  }
  sleeping.store(0, std::memory_order_relaxed);
  memory_.wakes.drain();
  return false;
}

void wake_port::woke_up() noexcept {
  // Before the look: a bit set after it finds `sleeping` set again by the next about_to_sleep, which looks once more.
  memory_.processes.my_slot().sleeping.store(0, std::memory_order_relaxed);
  if (asleep_since_ != clock::time_point{} && memory_.wakes.anything_woken()) {
    spin_.slept(clock::now() - asleep_since_);
  }
  memory_.wakes.drain();
}

void wake_port::receive() noexcept {
  // One: only who ends a sleep sends, so there is rarely a second, and it would make the socket readable again.
  char byte = 0;
  if (sys::recv(socket_.get(), &byte, sizeof byte, 0) >= 0) ++datagrams;
}

std::uint64_t wake_port::wakes() noexcept { return datagrams; }

}  // namespace brood::detail
