#include "process/succession.hpp"

#include <csignal>
#include <utility>

#include "brood/process/current.hpp"
#include "runtime/log.hpp"
#include "system/calls.hpp"
#include "system/descriptor.hpp"
#include "system/pidfd.hpp"
#include "system/socket.hpp"

namespace brood::detail {
namespace {

// A fork server that dies while it starts the same child again and again is not restarted for ever.
constexpr int most_deaths_in_a_row = 3;

/// A server waits for these until they have reached execve. Other children are made so fast that two servers at them
/// gain nothing.
bool waits_for_exec(const outgoing_request& request) { return request.target->kind != launch_kind::function; }

mortal server_of(pid_t pid) { return {mortal::kind::server, static_cast<std::uint64_t>(pid)}; }

}  // namespace

succession::succession(runtime& loop, death_watch& deaths, user& served)
    : loop_(loop), deaths_(deaths), user_(served), share_(cpu_count() > 1) {
  serving_ = static_cast<bool>(connection().control);  // else the server died while nobody looked
  if (serving_) listen(to_server_, connection().control.get(), connection().server);
  if (const auto& heir = connection().heir) {
    listen(to_heir_, heir->control.get(), heir->pid);
    deaths_.add(heir->pidfd.get(), server_of(heir->pid));
  }
  ask_for_heir();
}

succession::~succession() {
  for (const auto& [pid, pidfd] : dying_) sys::await_and_reap(pid, pidfd.get());
}

void succession::listen(line& to, int control, pid_t server) {
  sys::set_nonblocking(control, true);
  to.watch =
      std::make_unique<fd_watch>(loop_, control, [this, server](int) { user_.on_server_ready(server); });
  to.watch->background();
  to.watch->watch(room_awaited_ ? fd_watch::readable | fd_watch::writable : fd_watch::readable);
}

sys::transfer succession::send(outgoing_request& request) {
  const auto try_to_send = [&](line& to, int control, pid_t server) {
    const auto sent = sys::send_message(control, {request.message}, request.fds);
    if (sent == sys::transfer::gone) lose(server);
    if (sent != sys::transfer::done) return sent;
    request.server = server;
    ++to.requests;
    return sent;
  };
  const auto& heir = connection().heir;
  if (share_ && heir && waits_for_exec(request) && to_heir_.requests < to_server_.requests) {
    const auto sent = try_to_send(to_heir_, heir->control.get(), heir->pid);
    if (sent != sys::transfer::would_block) return sent;
  }
  return try_to_send(to_server_, connection().control.get(), connection().server);
}

void succession::note_reply(const outgoing_request& request) {
  deaths_in_a_row_ = 0;  // a server that has made a child is worth another if it dies
  --(is_heir(request.server) ? to_heir_ : to_server_).requests;
  if (!heir_asked_for_) ask_for_heir();
}

sys::transfer succession::receive(pid_t server, std::span<std::byte> buffer, sys::received& message) {
  if (!is_heir(server) && (server == 0 || server != connection().server)) return sys::transfer::gone;
  const unique_fd& control = is_heir(server) ? connection().heir->control : connection().control;
  const auto got = sys::receive_message(control.get(), buffer, message);
  if (got == sys::transfer::gone) lose(server);
  return got;
}

void succession::await_room(bool wanted) {
  if (std::exchange(room_awaited_, wanted) == wanted)
    return;  // each call of `watch` costs the loop two system calls
  const int events = wanted ? fd_watch::readable | fd_watch::writable : fd_watch::readable;
  for (line* to : {&to_server_, &to_heir_}) {
    if (to->watch) to->watch->watch(events);
  }
}

void succession::begin() {
  if (connection().control) return;
  try {
    start_server(connection(), false);
    listen(to_server_, connection().control.get(), connection().server);
  } catch (...) {
    connection().control.reset();  // so that the next request tries again
    if (const pid_t killed = std::exchange(connection().server, 0); killed != 0) {
      bury(killed, std::move(connection().server_pidfd));
    }
    user_.on_no_server(std::current_exception());
  }
}

void succession::hear_hello(std::span<const std::byte> message) {
  try {
    accept_hello(connection(), message);
    serving_ = true;
    ask_for_heir();
  } catch (...) {
    user_.on_no_server(std::current_exception());
    lose_server();  // so that the next request tries again
  }
}

bool succession::is_heir(pid_t server) const noexcept {
  return connection().heir && connection().heir->pid == server;
}

void succession::lose(pid_t server) { is_heir(server) ? lose_heir() : lose_server(); }

void succession::lose_server() {
  log_debug("the fork server {} has died; {}", connection().server,
            connection().heir ? "its heir takes over" : "the next spawn starts another");
  serving_ = false;
  to_server_ = {};
  connection().control.reset();
  const pid_t lost = std::exchange(connection().server, 0);
  if (lost != 0)
    bury(lost, std::move(connection().server_pidfd));  // killed in case it has only closed its socket
  bury_canary();
  if (!connection().heir) bury_unknown_heir();
  user_.on_server_death(lost);
  count_death();
  if (connection().heir) {
    promote_heir();
  } else if (user_.has_requests()) {
    begin();
  }
}

void succession::lose_heir() {
  auto lost = std::move(*connection().heir);
  connection().heir.reset();
  to_heir_ = {};
  deaths_.remove(lost.pidfd.get());
  bury(lost.pid, std::move(lost.pidfd));
  user_.on_server_death(lost.pid);
  count_death();
  ask_for_heir();
  user_.on_server_ready(connection().server);
}

void succession::count_death() {
  if (++deaths_in_a_row_ <= most_deaths_in_a_row) return;
  user_.on_no_server(
      std::make_exception_ptr(error("brood: the fork server keeps dying; see standard error")));
  deaths_in_a_row_ = 0;
}

// --- the heir ---

/// Only the first process of a family has one: every child that spawns would else cost two processes more.
/// Without an heir the server is started over again from a fresh image.
void succession::ask_for_heir() {
  if (!serving_ || connection().heir || !connection().siblings || family::get().is_child) return;
  if (!heir_slot_) heir_slot_ = user_.take_slot();
  connection().table.clear(*heir_slot_);
  connection().table[*heir_slot_].detached = 1;  // the one that kills what is left must not begin with itself
  launch_request request;
  request.kind = launch_kind::heir;
  request.slot = *heir_slot_;
  // If there is no room for it now, it is asked for after the next reply.
  heir_asked_for_ =
      sys::send_message(connection().control.get(), {sys::bytes_of(request)}) == sys::transfer::done;
}

void succession::accept_heir(pid_t pid, std::vector<unique_fd> fds) {
  if (fds.size() != 2) return bury_unknown_heir();  // at the limit of descriptors
  connection().table.release_pid(*heir_slot_);
  connection().heir = {std::move(fds[1]), std::move(fds[0]), pid};
  listen(to_heir_, connection().heir->control.get(), pid);
  deaths_.add(connection().heir->pidfd.get(), server_of(pid));
}

void succession::promote_heir() {
  auto heir = std::move(*connection().heir);
  connection().heir.reset();
  deaths_.remove(heir.pidfd.get());
  connection().control = std::move(heir.control);
  connection().server_pidfd = std::move(heir.pidfd);
  connection().server = heir.pid;
  std::swap(to_server_, to_heir_);
  serving_ = true;
  ask_for_heir();
  user_.on_server_ready(heir.pid);
}

// --- the dead ---

/// An heir that was made but could not be handed over, as the server died or a descriptor was wanting. It is
/// ours to reap; as nobody knows it, it does nothing but wait for its end.
void succession::bury_unknown_heir() {
  const pid_t pid = heir_slot_ ? connection().table.pid(*heir_slot_) : 0;
  if (pid == 0) return;
  connection().table.release_pid(*heir_slot_);
  bury(pid, sys::open_process(pid));
}

/// The process with which a server has tried its clones, if it was killed before it could say so.
void succession::bury_canary() {
  const pid_t pid = std::exchange(connection().table.canary(), 0);
  if (pid > 0) bury(pid, sys::open_process(pid));
}

void succession::bury(pid_t server, unique_fd pidfd) {
  if (pidfd) {
    sys::send_signal(pidfd.get(), SIGKILL);
    deaths_.add(pidfd.get(), server_of(server));
  } else {
    sys::kill(server, SIGKILL);  // ours and not reaped, so the number is its own
    deaths_.add_without_descriptor(server, server_of(server));
  }
  dying_.emplace(server, std::move(pidfd));
}

void succession::on_death(pid_t server) {
  // Its last words come first: what it has answered is not to be asked for again.
  if (is_heir(server)) user_.on_server_ready(server);
  if (is_heir(server)) lose_heir();
  const auto found = dying_.find(server);
  if (found == dying_.end()) return;
  const unique_fd& pidfd = found->second;
  const bool reaped = pidfd ? sys::reap(pidfd.get()).has_value() : sys::reap_by_number(server).has_value();
  if (!reaped) return;
  if (pidfd) deaths_.remove(pidfd.get());
  deaths_.remove_without_descriptor(server_of(server));
  dying_.erase(found);
}

}  // namespace brood::detail
