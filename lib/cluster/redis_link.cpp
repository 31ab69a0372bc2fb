#include "cluster/redis_link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <span>
#include <stdexcept>

#include "brood/cluster/error.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "channel/socket_address.hpp"
#include "system/error.hpp"

namespace brood::cluster::detail {

using std::chrono::milliseconds;

struct redis_link::request {
  std::string wire;
  clock::time_point until;
  milliseconds engine_time{};
  clock::time_point sent_at;
  bool of_greeting = false;
  bool wanted = true;
  std::optional<answer> result;
  std::exception_ptr failure;
  brood::detail::local_event over;

  void end(std::exception_ptr why) {
    failure = std::move(why);
    over.set();
  }
};

namespace {

/// What the engine says while it cannot serve, for now.
bool will_pass(const answer& what) {
  static constexpr std::array<std::string_view, 9> words{"LOADING",   "READONLY",    "MASTERDOWN",
                                                         "UNBLOCKED", "NOAUTH",      "BUSY",
                                                         "TRYAGAIN",  "CLUSTERDOWN", "MISCONF"};
  return std::any_of(words.begin(), words.end(), [&](auto word) { return what.is_failure(word); }) ||
         what.text == "ERR Function not found";  // the greeting loads them
}

constexpr milliseconds longest_pause{1000};

/// An address that can never be connected to is the caller's mistake.
address checked(address where) {
  if (where.type() == address::kind::chosen_by_listener) {
    throw std::invalid_argument("brood::cluster: no address of the engine was given");
  }
  return where;
}

[[noreturn]] void throw_gone() { throw error("the engine closed the connection"); }

}  // namespace

redis_link::redis_link(runtime& loop, address where, milliseconds reply_deadline, greeting first_words)
    : loop_(loop),
      where_(checked(std::move(where))),
      reply_deadline_(reply_deadline),
      greeting_(std::move(first_words)) {
  flush_.self = this;
  flush_.run = [](brood::detail::ready_node& node) noexcept {
    auto& flush = static_cast<flush_node&>(node);
    flush.posted = false;
    redis_link& self = *flush.self;
    try {
      if (self.state_ == state::ready) self.send_waiting();
      if (self.state_ >= state::greeting) self.write();
    } catch (...) {
      self.broke(std::current_exception());
    }
  };
}

redis_link::~redis_link() { loop_.withdraw(flush_); }

task<> redis_link::drive() {
  for (;;) {
    std::exception_ptr why;
    try {
      co_await connect();
      co_await with_timeout(reply_deadline_, greeting_(*this));
      state_ = state::ready;
      send_waiting();
      write();
      co_await stay();
    } catch (...) {
      why = std::current_exception();
    }
    disconnect(why);
    const bool ends = (co_await this_task::stop_token()).stop_requested();
    if (ends) {
      fail_all(std::make_exception_ptr(closed("the connection to the cluster was closed")));
      throw cancelled();
    }
    expire();
    co_await sleep_for(pause());
  }
}

task<> redis_link::connect() {
  state_ = state::connecting;
  broken_ = nullptr;
  const sys::endpoint where = brood::detail::endpoint_of(where_);
  socket_ = sys::stream_socket(where);
  sys::tune(socket_.get());
  const int begun = sys::start_connect(socket_.get(), where);
  if (begun != 0 && begun != EINPROGRESS) sys::throw_errno("connect", begun);
  reader_.emplace();
  watch_.emplace(loop_, socket_.get(), [this](int events) { on_ready(events); });
  watch_->watch(fd_watch::writable);
  co_await with_timeout(reply_deadline_, changed_.wait());
  if (const int code = sys::pending_error(socket_.get()); code != 0) sys::throw_errno("connect", code);
  state_ = state::greeting;
  watch_->watch(fd_watch::readable);
}

/// Until the connection breaks, which it throws.
task<> redis_link::stay() {
  while (broken_ == nullptr) {
    const auto due = [this] {
      return std::max(sent_.front()->sent_at, progress_) + reply_deadline_ + sent_.front()->engine_time;
    };
    const auto until = sent_.empty() ? clock::now() + reply_deadline_ : due();
    try {
      co_await with_timeout(until - clock::now(), changed_.wait());
    } catch (const timed_out&) {
    }
    if (broken_ == nullptr && !sent_.empty() && clock::now() >= due()) {
      throw error(fmt::format("no answer for {} ms", reply_deadline_.count()));
    }
  }
  std::rethrow_exception(broken_);
}

void redis_link::disconnect(const std::exception_ptr& why) {
  state_ = state::waiting;
  trouble_ = brood::detail::describe(why);
  watch_.reset();
  socket_.reset();
  reader_.reset();
  out_.clear();
  out_sent_ = 0;
  while (!sent_.empty()) {  // back to the front, in their order
    const request_pointer last = std::move(sent_.back());
    sent_.pop_back();
    if (last->of_greeting) {
      last->end(why);
    } else if (last->wanted) {
      waiting_.push_front(last);
    }
  }
}

/// Longer with each failure, and not the same for all who lost the same engine.
milliseconds redis_link::pause() {
  static thread_local std::minstd_rand random(std::random_device{}());
  const milliseconds base = std::min(longest_pause, milliseconds(10) * (1 << std::min(attempts_++, 7u)));
  return base / 2 + milliseconds(random() % static_cast<unsigned>(base.count()));
}

/// Fails what has waited for as long as it may.
void redis_link::expire() {
  const auto now = clock::now();
  std::erase_if(waiting_, [&](const request_pointer& each) {
    if (each->wanted && each->until > now) return false;
    each->end(std::make_exception_ptr(engine_unavailable(
        fmt::format("brood::cluster: the engine at {} cannot be reached: {}", where_.text(), trouble_))));
    return true;
  });
}

void redis_link::fail_all(const std::exception_ptr& why) {
  for (const auto& each : std::exchange(waiting_, {})) each->end(why);
}

void redis_link::refuse(std::exception_ptr why) {
  attempts_ = 7;
  fail_all(why);
  std::rethrow_exception(why);
}

void redis_link::reconnect() {
  if (state_ == state::ready) broke(std::make_exception_ptr(error("the connection was to be made anew")));
}

task<answer> redis_link::call(words request_words, clock::time_point until, milliseconds engine_time) {
  struct abandoning {
    request_pointer what;
    ~abandoning() { what->wanted = false; }
  } guard{std::make_shared<request>()};
  request& self = *guard.what;
  append_request(self.wire, request_words);
  self.until = until;
  self.engine_time = engine_time;
  enqueue(guard.what);
  co_await self.over.wait();
  if (self.failure) std::rethrow_exception(self.failure);
  co_return std::move(*self.result);
}

void redis_link::post(const words& request_words, clock::time_point until) {
  const auto what = std::make_shared<request>();
  append_request(what->wire, request_words);
  what->until = until;
  enqueue(what);
}

task<answer> redis_link::greet(words request_words) {
  const auto what = std::make_shared<request>();
  append_request(what->wire, request_words);
  what->of_greeting = true;
  send(what);
  write();
  co_await what->over.wait();
  if (what->failure) std::rethrow_exception(what->failure);
  co_return std::move(*what->result);
}

/// What is asked for in one turn of the loop goes in one write.
void redis_link::enqueue(const request_pointer& what) {
  waiting_.push_back(what);
  if (state_ != state::ready || flush_.posted) return;
  flush_.posted = true;
  loop_.post(flush_);
}

void redis_link::send_waiting() {
  while (!waiting_.empty()) {
    const request_pointer next = std::move(waiting_.front());
    waiting_.pop_front();
    if (next->wanted) send(next);
  }
}

void redis_link::send(const request_pointer& what) {
  what->sent_at = clock::now();
  out_ += what->wire;
  sent_.push_back(what);
}

void redis_link::on_ready(int events) noexcept {
  if (state_ == state::connecting) {
    changed_.notify_all();
    return;
  }
  try {
    if ((events & fd_watch::readable) != 0) read();
    if ((events & fd_watch::writable) != 0 && broken_ == nullptr) write();
  } catch (...) {
    broke(std::current_exception());
  }
}

void redis_link::read() {
  static thread_local std::array<std::byte, 128 * 1024> buffer;
  for (int turn = 0; turn < 8; ++turn) {  // others on the loop want their turn, too
    const auto got = sys::receive_some(socket_.get(), buffer);
    if (got.state == sys::stream_result::outcome::would_block) return;
    if (got.state == sys::stream_result::outcome::gone) throw_gone();
    progress_ = clock::now();
    reader_->feed({reinterpret_cast<const char*>(buffer.data()), got.count});
    while (auto next = reader_->next()) answered(std::move(*next));
    if (got.count < buffer.size()) return;
  }
}

void redis_link::answered(answer&& what) {
  if (sent_.empty()) throw malformed_answer();
  const request_pointer asked = sent_.front();
  if (!asked->of_greeting) {
    if (will_pass(what)) throw engine_refused(what.text);
    attempts_ = 0;
  }
  sent_.pop_front();
  asked->result = std::move(what);
  asked->over.set();
}

void redis_link::write() {
  while (out_sent_ < out_.size()) {
    const auto sent = sys::send_some(socket_.get(), std::as_bytes(std::span(out_)).subspan(out_sent_));
    if (sent.state == sys::stream_result::outcome::would_block) break;
    if (sent.state == sys::stream_result::outcome::gone) throw_gone();
    out_sent_ += sent.count;
    progress_ = clock::now();
  }
  const bool all = out_sent_ == out_.size();
  if (all) {
    out_.clear();
    out_sent_ = 0;
    if (out_.capacity() > (std::size_t{1} << 20)) out_.shrink_to_fit();
  }
  if (watch_) watch_->watch(all ? fd_watch::readable : fd_watch::readable | fd_watch::writable);
}

/// `drive` sees to the rest.
void redis_link::broke(std::exception_ptr why) noexcept {
  if (broken_ != nullptr) return;
  broken_ = std::move(why);
  watch_.reset();
  for (const auto& each : sent_) {
    if (each->of_greeting) each->end(broken_);
  }
  changed_.notify_all();
}

}  // namespace brood::cluster::detail
