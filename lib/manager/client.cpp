#include "manager/client.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "brood/channel/listener.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/exit_status.hpp"
#include "channel/authenticated_socket.hpp"
#include "manager/client_service.hpp"
#include "manager/outcome_error.hpp"

namespace brood::remote {
namespace {

constexpr std::chrono::seconds connect_deadline{10};

/// The clients of this process by address and key, so that there is one connection to each manager.
using client_table = std::map<std::pair<std::string, bytes>, std::weak_ptr<client>>;
client_table& clients() {
  static client_table& table =
      *new client_table;  // handles with static storage outlive any that is destroyed
  return table;
}
std::mutex clients_guard;  // of the table; a client itself belongs to one loop

std::pair<std::string, bytes> name_of(const address& where, const authkey& key) {
  return {where.text(), bytes(key.bytes().begin(), key.bytes().end())};
}

std::exception_ptr lost(const address& where, const char* why) noexcept {
  try {
    throw disconnected("the connection to the manager at " + where.text() + " is lost: " + why);
  } catch (...) {  // or there is no memory to say so
    return std::current_exception();
  }
}

}  // namespace

std::shared_ptr<client> client::find(const address& where, const authkey& key) {
  const std::scoped_lock guard(clients_guard);
  auto& place = clients()[name_of(where, key)];
  auto found = place.lock();
  if (!found) place = found = std::make_shared<client>(where, key);
  return found;
}

client::client(address where, authkey key) : where_(std::move(where)), key_(std::move(key)) {
  flush_.owner = this;
  flush_.run = [](detail::ready_node& node) noexcept {
    client& self = *static_cast<flusher&>(node).owner;
    if (self.link_) self.link_->flush();
  };
}

client::~client() {
  if (loop_ != nullptr) {
    loop_->withdraw(flush_);
    if (auto* service = loop_->find<client_service>()) service->remove(*this);
  }
  const std::scoped_lock guard(clients_guard);
  std::erase_if(clients(), [](const auto& each) { return each.second.expired(); });
}

void client::want_flush() noexcept {
  if (flush_.previous == nullptr && loop_ != nullptr) loop_->post(flush_);
}

// --- calls ---

std::uint64_t client::submit(std::shared_ptr<const request> what, pending_call& waiter) {
  if (loop_ != nullptr && loop_ != &runtime::current()) {
    throw std::logic_error("brood: a manager is used on one loop of a process");
  }
  const std::uint64_t id = next_id_++;
  // First, as there is no answer without it.
  const request& asked = *pending_.emplace(id, pending{std::move(what), &waiter}).first->second.what;
  try {
    if (state_ == state::open && is_here(asked)) {
      write_request(id, asked);
      want_flush();
    } else {
      if (state_ == state::open) seek(asked.target());
      if (state_ == state::idle) begin_connecting();
      deferred_.push_back(id);
    }
  } catch (...) {
    pending_.erase(id);
    throw;
  }
  return id;
}

bool client::is_here(const request& what) const noexcept {
  return !what.target() || what.target()->instance == instance_;
}

/// Before anything of it is written: what the manager does not take would end the connection, with all it holds.
void client::require_sendable(const request& what) const {
  constexpr std::size_t most_in_front = 21;  // id, operation, object
  if (what.body().size() + most_in_front > max_message_) {
    throw call_refused(
        fmt::format("brood: a request of {} bytes; the manager takes {}, see start_manager::max_message",
                    what.body().size(), max_message_));
  }
  if (what.instance() != 0 && what.instance() != instance_) {
    throw object_gone(
        "brood: a value names an object of a manager that has gone; another one serves there now");
  }
}

void client::write_request(std::uint64_t id, const request& what) {
  require_sendable(what);
  if (what.target()) hold(*what.target());
  bytes& out = link_->out();
  const frame_builder frame(out);
  put_count(out, id);
  if (what.target()) {
    out.push_back(static_cast<std::byte>(operation::call));
    put_count(out, what.target()->id);
  }
  put_bytes(out, what.body());
}

/// Those that can go now; the others wait on.
void client::write_deferred() {
  for (const std::uint64_t id : std::exchange(deferred_, {})) {
    const auto entry = pending_.find(id);
    if (entry == pending_.end()) continue;
    const std::shared_ptr<const request> what = entry->second.what;
    try {
      if (is_here(*what)) {
        write_request(id, *what);
      } else {
        seek(what->target());
        deferred_.push_back(id);
      }
    } catch (...) {
      fail(id, std::current_exception());
    }
  }
  want_flush();
}

void client::fail(std::uint64_t id, const std::exception_ptr& why) noexcept {
  const auto found = pending_.find(id);
  pending entry = std::move(found->second);
  pending_.erase(found);
  answer came;
  came.failure = why;
  settle(std::move(entry), came);
}

void client::write_small(operation what, number object, std::optional<std::uint64_t> rest) {
  bytes& out = link_->out();
  const frame_builder frame(out);
  put_count(out, 0);
  out.push_back(static_cast<std::byte>(what));
  put_count(out, object);
  if (!rest) return;
  if (what == operation::attach) {
    put_fixed(out, *rest);
  } else {
    put_count(out, *rest);
  }
}

void client::hold(reference& object) {
  if (object.epoch == epoch_) return;
  write_small(operation::attach, object.id, object.type);
  object.epoch = epoch_;
  object.grants = 1;
}

void client::post(const request& what) noexcept {
  if (state_ != state::open || loop_ != runtime::current_or_null()) return;
  if (what.target() && what.target()->instance != instance_) return;
  try {
    write_request(0, what);
    want_flush();
  } catch (const std::bad_alloc&) {
    break_off();
  } catch (...) {  // the manager would not take it
  }
}

void client::give_back(const reference& object, std::uint64_t method, std::uint64_t granted) noexcept {
  if (state_ != state::open || loop_ != runtime::current_or_null() || object.instance != instance_) return;
  try {
    bytes& out = link_->out();
    const frame_builder frame(out);
    put_count(out, 0);
    out.push_back(static_cast<std::byte>(operation::call));
    put_count(out, object.id);
    put_count(out, method);
    put_count(out, granted);
  } catch (...) {
    return break_off();
  }
  want_flush();
}

void client::break_off() noexcept {
  if (link_ && loop_ == runtime::current_or_null()) link_->break_off();
}

void client::abandon(std::uint64_t id, undo take_back) noexcept {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  found->second.waiter = nullptr;
  found->second.take_back = take_back;
  if (std::erase(deferred_, id) != 0) {
    pending_.erase(found);
    return;
  }
  try {
    write_small(operation::cancel, id, std::nullopt);
    want_flush();
  } catch (...) {
  }
}

void client::settle(pending entry, const answer& came) noexcept {
  if (entry.waiter != nullptr) return entry.waiter->settle(came);
  if (entry.take_back == nullptr || came.failure) return;
  take_back(entry.take_back, *entry.what, came.body, false);
}

void client::on_frame(std::span<const std::byte> frame) {
  if (state_ == state::open) {
    answered(frame);
  } else {
    greeted(frame);
  }
}

void client::answered(std::span<const std::byte> frame) {
  detail::byte_reader in(frame);
  const std::uint64_t id = in.read_number();
  const auto found = pending_.find(id);
  if (found == pending_.end()) throw decode_error("an answer to no request");
  pending entry = std::move(found->second);
  pending_.erase(found);
  answer came;
  const auto how = static_cast<outcome>(in.read_byte());
  if (how == outcome::value) {
    came.body = frame.subspan(frame.size() - in.remaining());
  } else {
    came.failure = error_of(how, in);
  }
  settle(std::move(entry), came);
}

// --- the connection ---

void client::begin_connecting() {
  auto opening = [](std::shared_ptr<client> self, std::uint64_t attempt) -> task<> {
    try {
      auto link = self->open_link(attempt);
      co_await with_timeout(connect_deadline, std::move(link));
    } catch (...) {
      if (self->attempt_ == attempt) self->lose(std::current_exception());
    }
  };
  loop_ = &runtime::current();
  refusal_ = nullptr;
  found_nobody_ = false;
  state_ = state::connecting;
  try {
    loop_->use<client_service>().add(*this);
    loop_->start(opening(shared_from_this(), ++attempt_));
  } catch (...) {
    state_ = state::idle;
    if (auto* service = loop_->find<client_service>()) service->remove(*this);
    loop_ = nullptr;
    throw;
  }
}

task<> client::open_link(std::uint64_t attempt) {
  unique_fd socket;
  try {
    socket = co_await detail::authenticated_socket(where_, key_, connect_deadline,
                                                   detail::absent_listener::refused);
  } catch (const closed& e) {
    throw disconnected(e.what());
  } catch (const std::system_error& e) {
    found_nobody_ =
        e.code() == std::errc::connection_refused || e.code() == std::errc::no_such_file_or_directory;
    throw disconnected("the manager at " + where_.text() + " cannot be reached: " + e.what());
  }
  if (attempt_ != attempt || state_ != state::connecting) co_return;
  state_ = state::greeting;
  frame_link::handler& own = *this;  // a base that only this class sees
  link_.emplace(*loop_, std::move(socket), detail::default_max_message, frame_link::unlimited, own);
  while (attempt_ == attempt && state_ == state::greeting) co_await changed_.wait();
}

void client::greeted(std::span<const std::byte> frame) {
  detail::byte_reader in(frame);
  const unsigned version = in.read_byte();
  if (version == 0) {  // a refusal, with its reason
    refusal_ = std::make_exception_ptr(call_refused(read_text(in)));
    throw closed("refused");
  }
  if (version != protocol_version) throw decode_error("a manager of another version");
  in.read(&instance_, sizeof instance_);
  max_message_ = in.read_number();
  in.expect_end();
  state_ = state::open;
  ++epoch_;
  write_deferred();
  changed_.notify_all();
}

void client::on_end(const char* why) noexcept {
  lose(refusal_ ? std::exchange(refusal_, nullptr) : lost(where_, why));
}

void client::lose(const std::exception_ptr& why) noexcept {
  if (state_ == state::idle) return;
  refusal_ = why;
  const auto self = shared_from_this();
  state_ = state::idle;
  loop_->withdraw(flush_);
  link_.reset();
  if (auto* service = loop_->find<client_service>()) service->remove(*this);
  loop_ = nullptr;
  deferred_.clear();
  answer came;
  came.failure = why;
  for (auto& [id, entry] : std::exchange(pending_, {})) settle(std::move(entry), came);
  changed_.notify_all();
}

task<> client::connected(std::chrono::nanoseconds deadline) {
  auto opened = [](std::shared_ptr<client> self) -> task<> {
    if (self->state_ == state::idle) self->begin_connecting();
    while (self->state_ == state::connecting || self->state_ == state::greeting)
      co_await self->changed_.wait();
    if (self->state_ != state::open) std::rethrow_exception(self->refusal_);
  };
  auto opening = opened(shared_from_this());
  co_await with_timeout(deadline, std::move(opening));
}

task<> client::shut_down() {
  const auto self = shared_from_this();
  if (link_) link_->flush();
  lose(lost(where_, "the runtime has ended"));
  co_return;
}

}  // namespace brood::remote
