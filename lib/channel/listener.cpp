#include "brood/channel/listener.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <new>
#include <stdexcept>
#include <string>

#include "channel/listener_core.hpp"
#include "channel/socket_address.hpp"
#include "channel/socket_channel.hpp"
#include "channel/socket_service.hpp"
#include "system/descriptor.hpp"
#include "system/stream_socket.hpp"

namespace brood {
namespace detail {

using outcome = sys::stream_result::outcome;

namespace {
bool is_trusted(std::optional<uid_t> user) noexcept { return user && (*user == geteuid() || *user == 0); }
}  // namespace

struct listener_core::stranger {
  stranger(listener_core& owner, unique_fd connected)
      : core(owner),
        socket(std::move(connected)),
        talk(handshake::role::listen, owner.key_.bytes(), fresh_nonce()),
        unsent(talk.take_output()),
        watch(owner.loop_, socket.get(), [this](int) { go_on(); }) {
    watch.background();
  }

  /// As far as it goes without waiting. The last thing it does may be to end this object.
  void go_on() noexcept {
    try {
      if (!exchange()) return core.drop(*this);
      if (unsent.empty() && talk.state() == handshake::status::authenticated) return core.welcome(*this);
      watch.watch(unsent.empty() ? fd_watch::readable : fd_watch::writable);
    } catch (const std::exception&) {
      core.drop(*this);
    }
  }

  /// False if nothing will come of it.
  bool exchange() {
    for (;;) {
      while (!unsent.empty()) {
        const auto sent = sys::send_some(socket.get(), unsent);
        if (sent.state == outcome::gone) return false;
        if (sent.state == outcome::would_block) return true;
        unsent.erase(unsent.begin(), unsent.begin() + static_cast<std::ptrdiff_t>(sent.count));
      }
      if (talk.state() != handshake::status::waiting) return talk.state() == handshake::status::authenticated;
      std::byte space[256];
      const auto got =
          sys::receive_some(socket.get(), std::span(space).first(std::min(talk.missing(), sizeof space)));
      if (got.state == outcome::gone) return false;
      if (got.state == outcome::would_block) return true;
      talk.feed(std::span(space).first(got.count));
      unsent = talk.take_output();
    }
  }

  listener_core& core;
  unique_fd socket;
  handshake talk;
  std::vector<std::byte> unsent;
  fd_watch watch;
  clock::time_point since = clock::now();
  std::list<stranger>::iterator place;
};

listener_core::listener_core(const address& where, authkey key, const limits& bounds)
    : loop_(runtime::current()), key_(std::move(key)), limits_(bounds) {
  alarm_.owner = this;
  alarm_.run = [](ready_node& node) noexcept {
    listener_core& self = *static_cast<alarm&>(static_cast<timer_node&>(node)).owner;
    self.drop_the_late();
  };
  open(where);
  watch_.emplace(loop_, socket_.get(), [this](int) { accept_clients(); });
  watch_->background();
  loop_.use<socket_service>().add(*this);
  rearm();
}

void listener_core::open(const address& where) {
  where_ = where;
  if (where.type() == address::kind::chosen_by_listener) {
    socket_ = sys::stream_socket(sys::unix_endpoint(std::string()));
    file_ = sys::socket_file::in_new_folder(socket_.get());
    where_ = address("unix:" + file_.path());
    return;
  }
  const sys::endpoint there = endpoint_of(where);
  socket_ = sys::stream_socket(there);
  if (where.type() == address::kind::unix_path) {
    file_ = sys::socket_file(socket_.get(), where.name());
    return;
  }
  sys::listen_at(socket_.get(), there, where.text());
  if (where.type() == address::kind::tcp && where.port() == 0) {
    std::string text = where.text();
    text.replace(text.rfind(':') + 1, std::string::npos, std::to_string(sys::bound_port(socket_.get())));
    where_ = address(text);
  }
}

listener_core::~listener_core() { close(); }

void listener_core::close() noexcept {
  if (!socket_) return;
  watch_.reset();
  file_.remove();  // first the name, then the socket: a file without a listener would look stale
  socket_.reset();
  strangers_.clear();
  known_.clear();
  loop_.stop_timer(alarm_);
  if (auto* service = loop_.find<socket_service>()) service->remove(*this);
  changed_.set();
}

void listener_core::accept_clients() noexcept {
  while (strangers_.size() < limits_.max_strangers && known_.size() < max_known) {
    unique_fd client = sys::accept_client(socket_.get());
    if (!client) {
      const bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      if (exhausted) paused_until_ = clock::now() + pause;
      // Anything else is about one client, which is gone from the queue, or the queue is empty: accept(2).
      break;
    }
    if (limits_.this_user_only && !is_trusted(sys::user_of_peer(client.get()))) continue;
    try {
      sys::tune(client.get());
      strangers_.emplace_back(*this, std::move(client));
      stranger& made = strangers_.back();
      made.place = std::prev(strangers_.end());
      made.go_on();
    } catch (const std::exception&) {
      paused_until_ = clock::now() + pause;
      break;
    }
  }
  rearm();
}

void listener_core::drop(stranger& client) noexcept {
  strangers_.erase(client.place);
  rearm();
}

void listener_core::welcome(stranger& client) {
  // The watch must end before whoever gets the socket watches it.
  known_.emplace_back();
  const auto place = client.place;
  unique_fd socket = std::move(client.socket);
  strangers_.erase(place);
  known_.back() = std::move(socket);
  changed_.notify_all();
  rearm();
}

std::chrono::nanoseconds listener_core::patience() const noexcept {
  return strangers_.size() < limits_.max_strangers ? limits_.patience : limits_.patience / 10;
}

/// Where they are many, several at a time, as every turn of a busy machine's loop may take long; but not all, as slow ones
/// may be good ones on that same machine.
void listener_core::drop_the_late() noexcept {
  const auto now = clock::now();
  const auto limit = patience();
  for (std::size_t left = limits_.max_strangers / 4 + 1; left > 0 && !strangers_.empty(); --left) {
    stranger& oldest = strangers_.front();
    if (now - oldest.since < limit) break;
    const std::size_t before = strangers_.size();
    oldest.go_on();  // what it sent may lie there, unread because this process was busy
    if (strangers_.size() == before) strangers_.pop_front();
  }
  rearm();
}

void listener_core::rearm() noexcept {
  if (!socket_) return;
  const bool paused = paused_until_ > clock::now();
  const bool room = strangers_.size() < limits_.max_strangers && known_.size() < max_known;
  watch_->watch(room && !paused ? fd_watch::readable : 0);

  auto due = clock::time_point::max();
  if (paused) due = paused_until_;
  if (!strangers_.empty()) {
    due = std::min(due, strangers_.front().since + std::chrono::duration_cast<clock::duration>(patience()));
  }
  loop_.stop_timer(alarm_);
  if (due == clock::time_point::max()) return;
  alarm_.due = due;
  try {
    loop_.start_timer(alarm_);
  } catch (
      const std::
          bad_alloc&) {  // whoever is late is dropped at the next event; and no pause can end by the clock
    paused_until_ = {};
    watch_->watch(room ? fd_watch::readable : 0);
  }
}

unique_fd listener_core::take() {
  if (known_.empty()) return {};
  unique_fd socket = std::move(known_.front());
  known_.pop_front();
  rearm();
  return socket;
}

std::shared_ptr<listener_core> listen(address where, authkey key, bool allow_remote,
                                      std::uint64_t max_message, std::chrono::nanoseconds patience,
                                      std::size_t max_strangers, bool this_user_only) {
  if (!where.is_local() && !allow_remote) {
    throw std::invalid_argument("brood: " + where.text() +
                                " can be reached from other machines; set listener::options::allow_remote");
  }
  if (max_strangers == 0)
    throw std::invalid_argument("brood: a listener must let somebody authenticate itself");
  listener_core::limits bounds;
  bounds.max_message = max_message;
  bounds.patience = patience;
  bounds.max_strangers = max_strangers;
  bounds.this_user_only = this_user_only;
  return std::make_shared<listener_core>(where, std::move(key), bounds);
}

task<std::shared_ptr<message_channel>> accept(std::shared_ptr<listener_core> listener) {
  for (;;) {
    if (listener->is_closed()) throw closed("the listener is closed");
    unique_fd socket = listener->take();
    if (socket) co_return std::make_shared<socket_channel>(std::move(socket), listener->max_message());
    co_await listener->changed().wait();
  }
}

}  // namespace detail

listener::listener(brood::address where, authkey key)
    : listener(std::move(where), std::move(key), options()) {}

listener::listener(brood::address where, authkey key, const options& settings)
    : core_(detail::listen(std::move(where), std::move(key), settings.allow_remote, settings.max_message,
                           settings.patience, settings.max_unauthenticated)) {}

const brood::address& listener::address() const noexcept { return core_->where(); }
void listener::close() const noexcept { core_->close(); }
bool listener::is_closed() const noexcept { return core_->is_closed(); }

}  // namespace brood
