// Files that are shared; the protocol is drawn in the header.
#include "brood/channel/detail/fd_object.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

#include "brood/arena/detail/object_kit.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/channel/shared_fd.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/coroutine/sleep.hpp"
#include "channel/fd_depot.hpp"
#include "channel/fd_waiter.hpp"
#include "channel/moved_channel.hpp"
#include "system/descriptor.hpp"
#include "system/error.hpp"
#include "system/socket.hpp"

namespace brood {
namespace detail {
namespace {

/// This process's depot, if it is the one of that name.
fd_depot* own_depot(const depot_port& port) noexcept {
  runtime* loop = runtime::current_or_null();
  fd_depot* depot = loop != nullptr ? loop->find<fd_depot>() : nullptr;
  return depot != nullptr && depot->port() == port ? depot : nullptr;
}

void ask_to_forget(const fd_state& state) {
  const sys::endpoint there = depot_endpoint(state.port);
  const unique_fd socket = sys::stream_socket(there);
  if (sys::start_connect(socket.get(), there) != 0) return;
  const depot_request request{depot_request::what::forget, state.ticket};
  sys::send_message(socket.get(), {sys::bytes_of(request)});
}

/// Nobody has a handle any more. Runs in whoever dropped the last one, cannot wait, and may run again:
/// tickets are used once. An owner that is gone has nothing to forget. One that has let thousands of requests
/// pile up (EAGAIN), or cannot be asked for want of a descriptor here, keeps the file until its runtime ends.
void destroy_fd(arena& memory, reference block) {
  const auto payload = memory.heap.payload(block, fd_kind);
  fd_state state;
  if (payload.size() < sizeof state) return;
  std::memcpy(&state, payload.data(), sizeof state);
  if (state.ticket == 0) return;
  if (fd_depot* depot = own_depot(state.port)) return depot->forget(state.ticket);
  kill_point();
  try {
    ask_to_forget(state);
    kill_point();
  } catch (...) {
  }
}

const object_kind fd_functions{destroy_fd, nullptr, nullptr};
const bool registered = [] {
  register_object_kind(fd_kind, fd_functions);
  return true;
}();

/// The connection to the owner's depot. Throws `closed` if the owner is gone.
task<unique_fd> connect_to_depot(const fd_state& state) {
  const sys::endpoint there = depot_endpoint(state.port);
  unique_fd socket = sys::stream_socket(there);
  int code = sys::start_connect(socket.get(), there);
  while (code == EAGAIN) {  // its queue is full; no event tells when it no longer is, connect(2)
    co_await sleep_for(std::chrono::milliseconds(1));
    code = sys::start_connect(socket.get(), there);
  }
  if (code == ECONNREFUSED) throw closed();
  if (code != 0) sys::throw_errno("connect to the owner of a shared descriptor", code);
  co_return socket;
}

task<unique_fd> receive_descriptor(int socket) {
  fd_waiter waiter(socket);
  for (;;) {
    std::byte here{};
    sys::received message;
    const auto got = sys::receive_message(socket, std::span(&here, 1), message);
    if (got == sys::transfer::gone) throw closed();
    if (got == sys::transfer::done && message.fds.empty()) sys::throw_errno("recvmsg", EMFILE);
    if (got == sys::transfer::done) co_return std::move(message.fds.front());
    co_await waiter.wait(fd_watch::readable);
  }
}

}  // namespace

std::shared_ptr<fd_object> fd_object::create(arena& memory, unique_fd fd, std::uint64_t longest_message,
                                             std::span<const std::byte> unread) {
  sys::require_open(fd.get());
  auto& depot = runtime::current().use<fd_depot>();
  const std::uint64_t ticket = depot.keep(std::move(fd));
  kill_point();
  try {
    return create_object<fd_object>(memory, sizeof(fd_state) + unread.size(), true, [&](reference block) {
      std::byte* payload = memory.map.payload_at(block);
      const fd_state state{depot.port(), ticket, longest_message, unread.size()};
      if (!unread.empty()) std::memcpy(payload + sizeof state, unread.data(), unread.size());
      kill_point();
      std::memcpy(payload, &state, sizeof state);
    });
  } catch (...) {
    depot.forget(ticket);
    throw;
  }
}

fd_object::fd_object(arena& memory, reference block, word& cell)
    : shared_object(memory, block, fd_kind, cell) {
  read_state();
}
fd_object::fd_object(arena& memory, object_name name) : shared_object(memory, name, fd_kind) { read_state(); }

/// Into locals, before it is used as a length.
void fd_object::read_state() {
  const std::span<const std::byte> payload = memory().heap.payload(name().block, fd_kind);
  if (payload.size() >= sizeof state_) std::memcpy(&state_, payload.data(), sizeof state_);
  if (payload.size() < sizeof state_ || state_.unread > payload.size() - sizeof state_) {
    throw error("a shared descriptor in shared memory was overwritten");
  }
  unread_ = payload.subspan(sizeof state_, static_cast<std::size_t>(state_.unread));
}

std::shared_ptr<message_channel> fd_object::channel(const std::shared_ptr<fd_object>& self) {
  if (!self->is_connection()) throw error("a file that is no connection");
  auto channel = self->channel_.lock();
  if (channel == nullptr) {
    channel = std::make_shared<moved_channel>(self);
    self->channel_ = channel;
  }
  return channel;
}

task<unique_fd> fd_object::fetch(std::shared_ptr<fd_object> self) {
  if (fd_depot* depot = own_depot(self->state_.port)) {
    unique_fd copy = depot->copy(self->state_.ticket);
    if (!copy) throw closed();
    co_return copy;
  }
  const unique_fd depot = co_await connect_to_depot(self->state_);
  const depot_request request{depot_request::what::give, self->state_.ticket};
  if (sys::send_message(depot.get(), {sys::bytes_of(request)}) != sys::transfer::done) throw closed();
  auto received = receive_descriptor(depot.get());
  co_return co_await std::move(received);
}

}  // namespace detail

shared_fd::shared_fd(unique_fd fd)
    : object_(detail::fd_object::create(family_memory::get(), std::move(fd))) {}

shared_fd shared_fd::copy_of(int fd) { return shared_fd(sys::duplicate(fd)); }

task<unique_fd> shared_fd::open() const {
  if (object_ == nullptr) throw closed();
  return detail::fd_object::fetch(object_);
}

void shared_fd::find(detail::object_name name) {
  object_.reset();
  if (name.block == 0) return;
  auto found = detail::open_decoded(
      [&] { return detail::open_object<detail::fd_object>(family_memory::get(), name); });
  if (found->is_connection()) throw decode_error("a connection, where a file should be");
  object_ = std::move(found);
}

}  // namespace brood
