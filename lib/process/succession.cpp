#include "process/succession.hpp"

#include <algorithm>
#include <csignal>
#include <system_error>
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

/// A server that is told so ends at once; one whose socket only ends looks first whether its parent has died. This process may
/// have lost the right to kill it.
void say_farewell(int control) noexcept {
  launch_request request;
  request.kind = launch_kind::farewell;
  try {
    sys::send_message(control, {sys::bytes_of(request)});
  } catch (const std::system_error&) {
    // It sees the end of the socket.
  }
}

// How long the end of a runtime waits for a server that it may not kill, which has been told to end.
constexpr int farewell_patience = 1000;  // ms

mortal server_of(pid_t pid) { return {mortal::kind::server, static_cast<std::uint64_t>(pid)}; }

}  // namespace

succession::succession(runtime& loop, death_watch& deaths, user& served)
    : loop_(loop), deaths_(deaths), user_(served), standing_(connection().standing), share_(cpu_count() > 1) {
  place_.run = [](ready_node& node) noexcept { static_cast<place_note&>(node).fresh = false; };
  serving_ = static_cast<bool>(connection().control);  // else the server died while nobody looked
  if (serving_) listen(to_server_, connection().control.get(), connection().server);
  if (const auto& heir = connection().heir) {
    listen(to_heir_, heir->control.get(), heir->pid);
    deaths_.add(heir->pidfd.get(), server_of(heir->pid));
  }
  for (auto& [pid, old] : std::exchange(connection().unreaped, {}))
    bury(pid, std::move(old.pidfd), old.heirs_of);
  if (!connection().heir_asked_for) ask_for_heir();
}

succession::~succession() {
  loop_.withdraw(place_);
  for (auto& [pid, old] : std::exchange(retired_, {})) {  // what is left of their children is detached
    say_farewell(old.control.get());
    bury(pid, std::move(old.pidfd), old.generation);
  }
  while (!dying_.empty()) {
    auto next = dying_.extract(dying_.begin());
    ended_server& ended = next.mapped();
    if (sys::await_and_reap(next.key(), ended.pidfd.get(), farewell_patience)) {
      bury_unknown_heir(ended.heirs_of);
    } else {
      connection().unreaped.emplace_back(next.key(), std::move(ended));  // stopped, and not ours to kill
    }
  }
}

// --- generations ---

const sys::standing& succession::note_standing() {
  if (place_.fresh) {
    sys::standing_reader::read_ids_and_limits(standing_);
  } else {
    standing_reader_.read(standing_);
    place_.fresh = true;
    loop_.post(place_);
  }
  sys::standing& of_server = connection().standing;
  if (!standing_.is_identical(of_server)) retire();
  if (of_server.place.empty()) of_server.place = standing_.place;
  return standing_;
}

/// The server of now and its heir carry out what they were asked for. What comes next is for another.
void succession::retire() {
  log_debug("this process is not what it was when the fork server {} was started: another follows it",
            connection().server);
  const std::uint64_t generation = connection().generation++;
  if (auto heir = std::exchange(connection().heir, std::nullopt)) {
    deaths_.remove(heir->pidfd.get());
    retired_.try_emplace(heir->pid, std::move(heir->control), std::move(heir->pidfd), generation,
                         std::exchange(to_heir_, {}));
  }
  if (connection().control) {
    retired_.try_emplace(std::exchange(connection().server, 0), std::move(connection().control),
                         std::move(connection().server_pidfd), generation, std::exchange(to_server_, {}));
  }
  serving_ = false;
  connection().heir_asked_for = false;
  connection().standing = standing_;
  note_world(family::get());
  dismiss_idle();
}

bool succession::can_serve(const outgoing_request& request) const {
  return request.generation == connection().generation ||
         std::any_of(retired_.begin(), retired_.end(),
                     [&](const auto& each) { return each.second.generation == request.generation; });
}

bool succession::serves(const outgoing_request& request) const {
  return serving_ || request.generation != connection().generation;
}

void succession::dismiss_idle() {
  for (auto next = retired_.begin(); next != retired_.end();) {
    const auto each = next++;
    retired_server& old = each->second;
    if (old.to.requests > 0 || old.to.children > 0 || user_.has_requests_up_to(old.generation)) continue;
    say_farewell(old.control.get());
    bury(each->first, std::move(old.pidfd), old.generation);
    retired_.erase(each);
  }
}

void succession::lose_retired(pid_t server) {
  auto lost = std::move(retired_.extract(server).mapped());
  bury(server, std::move(lost.pidfd));
  bury_unknown_heir(lost.generation);
  user_.on_server_death(server);
  user_.on_server_ready(connection().server);
}

void succession::end_silent_ones() noexcept {
  if (to_heir_.requests > 0 && connection().heir) {
    auto heir = std::move(*connection().heir);
    connection().heir.reset();
    deaths_.remove(heir.pidfd.get());
    bury(heir.pid, std::move(heir.pidfd));
  }
  if (to_server_.requests > 0 && connection().control) {
    connection().control.reset();
    connection().heir_asked_for = false;
    bury(std::exchange(connection().server, 0), std::move(connection().server_pidfd),
         connection().generation);
  }
  for (auto& [pid, old] : std::exchange(retired_, {})) {
    say_farewell(old.control.get());
    bury(pid, std::move(old.pidfd), old.generation);
  }
  for (const auto& [pid, ended] : dying_) sys::await_end(ended.pidfd.get(), farewell_patience);
}

// --- the servers ---

succession::line* succession::line_to(pid_t server) noexcept {
  if (is_heir(server)) return &to_heir_;
  if (const auto old = retired_.find(server); old != retired_.end()) return &old->second.to;
  return server != 0 && server == connection().server ? &to_server_ : nullptr;
}

void succession::listen(line& to, int control, pid_t server) {
  sys::set_nonblocking(control, true);
  to.watch =
      std::make_unique<fd_watch>(loop_, control, [this, server](int) { user_.on_server_ready(server); });
  to.watch->background();
  to.watch->watch(fd_watch::readable);
  to.full = to.room_awaited = false;
}

sys::transfer succession::send(outgoing_request& request) {
  to_server_.full = to_heir_.full = false;
  for (auto& [pid, old] : retired_) old.to.full = false;
  const auto try_to_send = [&](line& to, int control, pid_t server) {
    const auto sent = sys::send_message(control, {request.message}, request.fds);
    to.full = sent == sys::transfer::would_block;
    if (sent == sys::transfer::gone) lose(server);
    if (sent != sys::transfer::done) return sent;
    request.server = server;
    ++to.requests;
    return sent;
  };
  if (request.generation != connection().generation) {
    for (auto& [pid, old] : retired_) {
      if (old.generation == request.generation) return try_to_send(old.to, old.control.get(), pid);
    }
    return sys::transfer::gone;
  }
  const auto& heir = connection().heir;
  if (share_ && heir && waits_for_exec(request) && to_heir_.requests < to_server_.requests) {
    const auto sent = try_to_send(to_heir_, heir->control.get(), heir->pid);
    if (sent != sys::transfer::would_block) return sent;
  }
  return try_to_send(to_server_, connection().control.get(), connection().server);
}

void succession::note_reply(const outgoing_request& request, bool relayed) {
  deaths_in_a_row_ = 0;  // a server that has made a child is worth another if it dies
  if (line* to = line_to(request.server)) {
    --to->requests;
    if (relayed) ++to->children;
  }
  if (!connection().heir_asked_for) ask_for_heir();
  dismiss_idle();
}

void succession::note_end(pid_t server) {
  if (line* to = line_to(server)) --to->children;
  dismiss_idle();
}

sys::transfer succession::receive(pid_t server, std::span<std::byte> buffer, sys::received& message) {
  if (line_to(server) == nullptr) return sys::transfer::gone;
  const auto old = retired_.find(server);
  const unique_fd& control = is_heir(server)         ? connection().heir->control
                             : old != retired_.end() ? old->second.control
                                                     : connection().control;
  const auto got = sys::receive_message(control.get(), buffer, message);
  if (got == sys::transfer::gone) lose(server);
  return got;
}

void succession::await_room(bool wanted) {
  const auto await_room_at = [wanted](line& to) {
    const bool awaited = wanted && to.full;
    if (!to.watch || std::exchange(to.room_awaited, awaited) == awaited)
      return;  // each call of `watch` costs the loop two system calls
    to.watch->watch(awaited ? fd_watch::readable | fd_watch::writable : fd_watch::readable);
  };
  for (line* to : {&to_server_, &to_heir_}) await_room_at(*to);
  for (auto& [pid, old] : retired_) await_room_at(old.to);
}

void succession::begin() {
  if (connection().control) return;
  try {
    note_standing();  // of which it will be
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

void succession::hear_hello(pid_t server, std::span<const std::byte> message) {
  if (server != connection().server) return;  // retired before it could serve
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

void succession::lose(pid_t server) {
  if (retired_.contains(server)) return lose_retired(server);
  is_heir(server) ? lose_heir() : lose_server();
}

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
  if (!connection().heir) bury_unknown_heir(connection().generation);
  connection().heir_asked_for = false;
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
  connection().table.heir(connection().generation) = 0;
  launch_request request;
  request.kind = launch_kind::heir;
  request.id = connection().generation;
  // If there is no room for it now, it is asked for after the next reply.
  try {
    connection().heir_asked_for =
        sys::send_message(connection().control.get(), {sys::bytes_of(request)}) == sys::transfer::done;
  } catch (const std::system_error&) {
    connection().heir_asked_for = false;
  }
}

void succession::accept_heir(pid_t server, pid_t heir, std::vector<unique_fd> fds) {
  const auto old = retired_.find(server);
  const std::uint64_t generation = old != retired_.end() ? old->second.generation : connection().generation;
  if (fds.size() != 2) return bury_unknown_heir(generation);  // at the limit of descriptors
  connection().table.heir(generation) = 0;
  if (server != connection().server || connection().heir) {  // too late, or one too many
    say_farewell(fds[1].get());
    return bury(heir, std::move(fds[0]));
  }
  server_connection::standby follower{std::move(fds[1]), std::move(fds[0]), heir};
  try {
    listen(to_heir_, follower.control.get(), heir);
  } catch (const std::exception&) {  // one that nobody hears is none
    to_heir_ = {};
    say_farewell(follower.control.get());
    bury(heir, std::move(follower.pidfd));
    connection().heir_asked_for = false;
    return;
  }
  deaths_.add(follower.pidfd.get(), server_of(heir));  // if not, the end of its socket tells
  connection().heir = std::move(follower);
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
void succession::bury_unknown_heir(std::uint64_t generation) {
  if (generation == 0) return;
  const pid_t pid = std::exchange(connection().table.heir(generation), 0);
  if (pid <= 0) return;
  bury(pid, sys::open_process(pid));
}

/// The process with which a server has tried its clones, if it was killed before it could say so.
void succession::bury_canary() {
  const pid_t pid = std::exchange(connection().table.canary(), 0);
  if (pid > 0) bury(pid, sys::open_process(pid));
}

/// `heirs_of`: it is killed while it may be making an heir, of which nobody will hear. That one is looked for when it is dead.
void succession::bury(pid_t server, unique_fd pidfd, std::uint64_t heirs_of) {
  if (pidfd) sys::send_signal(pidfd.get(), SIGKILL);
  if (pidfd && !deaths_.add(pidfd.get(), server_of(server))) pidfd.reset();
  if (!pidfd) {
    sys::kill(server, SIGKILL);  // ours and not reaped, so the number is its own
    deaths_.add_without_descriptor(server, server_of(server));
  }
  dying_.try_emplace(server, std::move(pidfd), heirs_of);
}

void succession::on_death(pid_t server) {
  // Its last words come first: what it has answered is not to be asked for again.
  if (is_heir(server)) user_.on_server_ready(server);
  if (is_heir(server)) lose_heir();
  const auto found = dying_.find(server);
  if (found == dying_.end()) return;
  const unique_fd& pidfd = found->second.pidfd;
  const bool reaped = pidfd ? sys::reap(pidfd.get()).has_value() : sys::reap_by_number(server).has_value();
  if (!reaped) return;
  if (pidfd) deaths_.remove(pidfd.get());
  deaths_.remove_without_descriptor(server_of(server));
  const std::uint64_t heirs_of = found->second.heirs_of;
  dying_.erase(found);
  bury_unknown_heir(heirs_of);
}

}  // namespace brood::detail
