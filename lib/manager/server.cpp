#include "manager/server.hpp"

#include <algorithm>
#include <unordered_map>

#include "brood/channel/listener.hpp"
#include "channel/listener_core.hpp"
#include "manager/client.hpp"
#include "manager/frame_builder.hpp"
#include "runtime/log.hpp"

namespace brood::remote {

namespace {

/// A client that does not read its answers is not read from either: bytes.
constexpr std::size_t most_unsent = std::size_t{8} << 20;

}  // namespace

struct server::connection final : frame_link::handler {
  connection(server& of, unique_fd socket)
      : owner(of), link(of.loop_, std::move(socket), of.settings_.max_message, most_unsent, *this) {
    client.send_to(link.out());
    client.on_output = [this] { owner.answer_ready(*this); };
  }

  void on_frame(std::span<const std::byte> frame) override { client.handle(frame); }
  void on_batch_end() override { owner.flush_answers(); }
  void on_end(const char*) noexcept override { owner.drop(*this); }

  server& owner;
  frame_link link;
  session client{owner.space_};  // ends first: its answers to others go out over their links
  bool has_answers = false;
  std::list<connection>::iterator place;
};

namespace {

space::limits bounds_of(const server_settings& settings) {
  space::limits result;
  result.max_message = settings.max_message;
  result.max_outstanding = static_cast<std::size_t>(settings.max_outstanding);
  return result;
}

}  // namespace

server::server(const server_settings& settings)
    : loop_(runtime::current()), settings_(settings), space_(bounds_of(settings)) {
  const address wanted = settings.address.empty() ? address() : address(settings.address);
  const authkey key = settings.key.empty() ? authkey() : authkey(settings.key);
  listener_ = detail::listen(wanted, key, settings.allow_remote, settings.max_message,
                             std::chrono::nanoseconds(settings.patience),
                             static_cast<std::size_t>(settings.max_unauthenticated), settings.this_user_only);
  space_.home = client::find(listener_->where(), key);
  space_.home->expect(space_.instance());
  space_.on_shutdown = [this] { shut_down(); };
  flush_.owner = this;
  flush_.run = [](detail::ready_node& node) noexcept { static_cast<flusher&>(node).owner->flush_answers(); };
  alarm_.owner = this;
  alarm_.run = [](detail::ready_node& node) noexcept {
    server& self = *static_cast<alarm&>(static_cast<detail::timer_node&>(node)).owner;
    self.space_.end_loans(clock::now());
    self.rearm();
  };
}

server::~server() {
  loop_.stop_timer(alarm_);
  end_connections();
  loop_.withdraw(flush_);
}

const address& server::where() const noexcept { return listener_->where(); }

void server::shut_down() noexcept {
  ending_ = true;
  listener_->close();  // wakes `run`
}

task<> server::run() {
  std::exception_ptr failure;
  try {
    while (!ending_) {
      unique_fd socket = listener_->take();
      if (socket) {
        try {
          welcome(std::move(socket));
        } catch (const std::exception& e) {  // this one connection cannot be served; the others are
          detail::log_error("the manager at {} could not take a connection: {}", where().text(), e.what());
        }
      } else {
        co_await listener_->changed().wait();
      }
    }
  } catch (...) {
    failure = std::current_exception();
  }
  listener_->close();
  end_connections();  // asks the coroutines of user's classes to end
  space_.home = nullptr;
  co_await space_.calls.join();  // also where this is cancelled
  if (failure) std::rethrow_exception(failure);
}

void server::welcome(unique_fd socket) {
  connection& made = connections_.emplace_back(*this, std::move(socket));
  made.place = std::prev(connections_.end());
  const bool taken = connections_.size() <= settings_.max_connections;
  try {
    answered_.reserve(connections_.size());  // an answer does not fail for want of it
    if (taken) {
      made.client.greet();
    } else {
      const frame_builder refusal(made.link.out());
      made.link.out().push_back(std::byte{0});
      put_text(made.link.out(), "brood: the manager has as many connections as it takes");
    }
  } catch (...) {
    drop(made);
    throw;
  }
  made.link.flush();
  if (!taken) drop(made);
}

void server::drop(connection& gone) noexcept {
  gone.client.on_output = [] {};
  std::erase(answered_, &gone);
  connections_.erase(gone.place);
  flush_answers();  // what it held may be others' now
}

void server::end_connections() noexcept {
  flush_answers();
  for (connection& c : connections_) c.client.on_output = [] {};
  connections_.clear();
}

void server::answer_ready(connection& whose) {
  if (std::exchange(whose.has_answers, true)) return;
  answered_.push_back(&whose);
  if (flush_.previous == nullptr) loop_.post(flush_);
}

void server::flush_answers() noexcept {
  loop_.withdraw(flush_);
  for (connection* whose : answered_) {
    whose->has_answers = false;
    whose->link.flush();
    if (whose->client.cannot_be_answered()) whose->link.break_off();
  }
  answered_.clear();
  rearm();
}

void server::rearm() noexcept {
  const auto due = space_.next_loan_end();
  if (alarm_.heap_index != detail::timer_node::idle && alarm_.due == due) return;
  loop_.stop_timer(alarm_);
  if (due == clock::time_point::max()) return;
  alarm_.due = due;
  loop_.start_timer(alarm_);
}

}  // namespace brood::remote
