// Joining, beating, and what comes by the inbox.
#include "cluster/session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "brood/cluster/error.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "cluster/functions.hpp"
#include "cluster/seal.hpp"

namespace brood::cluster::detail {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds inbox_wait{5000};
constexpr std::size_t inbox_batch = 256;

milliseconds reply_deadline_for(milliseconds lease) {
  return std::clamp(lease / 4, milliseconds(100), milliseconds(3000));
}

settings checked(settings chosen) {
  if (chosen.lease < milliseconds(100)) {
    throw std::invalid_argument(
        "brood::cluster: a lease must be 100 ms at least, as it is renewed every third of it");
  }
  if (chosen.name.empty()) throw std::invalid_argument("brood::cluster: a cluster needs a name");
  if (chosen.name.find_first_of("{}") != std::string::npos) {
    throw std::invalid_argument("brood::cluster: the name of a cluster cannot hold braces");
  }
  return chosen;
}

}  // namespace

session::session(runtime& loop, settings chosen, role what)
    : loop_(loop),
      settings_(checked(std::move(chosen))),
      role_(std::move(what)),
      prefix_("{brood:" + settings_.name + "}:"),
      reply_deadline_(reply_deadline_for(settings_.lease)),
      commands_(loop, settings_.where, reply_deadline_, [this](redis_link& link) { return greet(link); }),
      inbox_(loop, settings_.where, reply_deadline_,
             [this](redis_link& link) { return authenticate(link); }) {}

task<> session::live() {
  const auto self = shared_from_this();
  struct until_end {
    session& it;
    ~until_end() {
      it.tasks_ = nullptr;
      it.stopping_.set();
      it.membership_.notify_all();
      for (auto* listener : std::vector(it.listeners_)) listener->on_closed();
      it.wake_everyone();
    }
  } guard{*this};
  co_await with_nursery([this](nursery& n) -> task<> {
    tasks_ = &n;
    n.start(commands_.drive());
    n.start(inbox_.drive());
    n.start(keep());
    n.start(listen());
    co_await stopping_.wait();
    tasks_ = nullptr;
    n.cancel();
  });
}

bool session::later(task<> what) {
  if (tasks_ == nullptr) return false;
  tasks_->start([](task<> body) -> task<> {
    try {
      co_await std::move(body);
    } catch (const cancelled&) {
      throw;
    } catch (const error&) {
    }
  }(std::move(what)));
  return true;
}

task<> session::joined() {
  const auto until = clock::now() + settings_.patience;
  while (epoch_.empty()) {
    if (refusal_) std::rethrow_exception(refusal_);
    if (stopping_.is_set()) throw closed("the connection to the cluster was closed");
    try {
      co_await with_timeout(until - clock::now(), membership_.wait());
    } catch (const timed_out&) {
      throw engine_unavailable(fmt::format("brood::cluster: the engine at {} cannot be reached: {}",
                                           settings_.where.text(), commands_.trouble()));
    }
  }
}

task<> session::leave() {
  if (!epoch_.empty()) {
    const std::string epoch = epoch_;
    end_epoch();
    try {
      for (;;) {
        words leaving = request("leave");
        leaving.push_back(epoch);
        const answer all = co_await with_timeout(
            settings_.lease, commands_.call(std::move(leaving), clock::now() + settings_.lease));
        if (all.what == answer::kind::failure || all.count == 1) break;
      }
    } catch (const timed_out&) {  // the others find it out
    } catch (const error&) {
    }
  }
  stop();
}

// ---- keeping the lease ----

task<> session::keep() {
  for (;;) {
    try {
      co_await join_once();
      co_await beat_until_over();
    } catch (const cancelled&) {
      throw;
    } catch (...) {
      refusal_ = std::current_exception();
    }
    membership_.notify_all();
    if (!epoch_.empty()) end_epoch();
    if (refusal_) co_await sleep_for(reply_deadline_);
  }
}

task<> session::join_once() {
  words joining = request("join");
  for (std::string word :
       {role_.kind, role_.build, role_.name, std::to_string(role_.workers),
        std::to_string(settings_.lease.count()), origin_,
        std::to_string(std::chrono::ceil<std::chrono::seconds>(settings_.patience).count() + 1),
        to_hex(mac_of(settings_.key, {"brood cluster", settings_.name}))}) {
    joining.push_back(std::move(word));
  }
  answer epoch = co_await commands_.call(std::move(joining), clock::time_point::max());
  if (epoch.is_failure("AGAIN")) {
    run_.clear();
    commands_.reconnect();
    co_return;
  }
  if (epoch.what == answer::kind::failure) throw_failure(epoch);
  refusal_ = nullptr;
  epoch_ = epoch.string();
  if (origin_.empty()) origin_ = epoch_;
  last_read_ = "0-0";
  membership_.notify_all();
  for (auto* listener : std::vector(listeners_)) listener->on_joined();
}

/// A beat that is acknowledged counts from when it was sent. At 0.8 of the lease without one the session ends here, before
/// the engine can give to others what it held.
task<> session::beat_until_over() {
  auto heard = clock::now();
  while (!epoch_.empty()) {
    const auto sent = clock::now();
    words beating = request("beat");
    beating.push_back(epoch_);
    answer beaten;
    try {
      beaten = co_await with_timeout(heard + settings_.lease * 8 / 10 - sent,
                                     commands_.call(std::move(beating), clock::time_point::max()));
    } catch (const timed_out&) {
      co_return;
    }
    if (beaten.is_failure("DEAD")) co_return;
    if (beaten.what == answer::kind::failure) throw_failure(beaten);
    heard = sent;
    if (beaten.at(0).number() != 0) continue;
    const milliseconds next_end{std::max<std::int64_t>(beaten.at(1).number(), 0) + 1};
    co_await sleep_for(std::min(settings_.lease / 3, next_end));
  }
}

void session::end_epoch() {
  const std::string old = std::exchange(epoch_, std::string());
  leases_.clear();
  for (auto& [name, permit] : std::exchange(permits_, {})) {
    permit->lost = true;
    permit->changed.notify_all();
  }
  for (auto* listener : std::vector(listeners_)) listener->on_over();
  membership_.notify_all();
  wake_everyone();
  inbox_.reconnect();
  words leaving = request("leave");  // if it is not over yet, what it had goes back now
  leaving.push_back(old);
  commands_.post(leaving, clock::now() + settings_.lease);
}

// ---- the inbox ----

task<> session::listen() {
  for (;;) {
    while (epoch_.empty()) co_await membership_.wait();
    const std::string epoch = epoch_;
    auto over = [](session& self, std::string of) -> task<> {
      while (self.epoch_ == of) co_await self.membership_.wait();
    };
    co_await when_any(listen_to(epoch), over(*this, epoch));
  }
}

task<> session::listen_to(std::string epoch) {
  const std::string key = prefix_ + "i:" + epoch;
  std::size_t untrimmed = 0;
  for (;;) {
    const bool rereading = std::exchange(reread_, false);
    if (rereading) last_read_ = "0-0";
    words reading{"XREAD", "COUNT", std::to_string(inbox_batch)};
    if (!rereading) {
      reading.insert(reading.end(), {"BLOCK", std::to_string(inbox_wait.count())});
    }
    reading.insert(reading.end(), {"STREAMS", key, last_read_});
    answer read = co_await inbox_.call(std::move(reading), clock::time_point::max(), inbox_wait);
    if (read.what == answer::kind::failure) throw_failure(read);
    std::size_t count = 0;
    if (!read.is_nothing()) {
      auto& messages = read.at(0).at(1).list();
      count = messages.size();
      for (auto& message : messages) {
        last_read_ = message.at(0).string();
        heard(message.at(1));
      }
    }
    untrimmed += count;
    if (rereading) {
      for (auto* listener : std::vector(listeners_)) listener->on_restart();
    }
    if (untrimmed >= inbox_batch || (count == 0 && untrimmed != 0)) {
      untrimmed = 0;
      commands_.post({"XTRIM", key, "MINID", last_read_}, clock::now() + settings_.lease);
    }
  }
}

/// One message: k kind, s subject, v value.
void session::heard(answer& message) {
  const std::string kind = message.at(1).string();
  const std::string subject = message.at(3).string();
  if (kind == "w") {
    heard_wake(subject);
  } else if (kind == "g") {
    const std::string& value = message.at(5).string();
    for (auto& [name, permit] : permits_) {
      if (!name.ends_with("|" + subject)) continue;
      const std::size_t colon = value.find(':');
      permit->token = value.substr(0, colon);
      permit->abandoned = value.substr(colon + 1) == "1";
      permit->granted = true;
      permit->changed.notify_all();
      return;
    }
  } else {
    for (auto* listener : std::vector(listeners_)) {
      if (kind == "r") listener->on_result(subject, std::move(message.at(5)).take_string());
      if (kind == "h") listener->on_host_lost(subject);
      if (kind == "c") listener->on_cancel(subject);
    }
  }
}

void session::heard_wake(const std::string& what) {
  const auto found = watches_.find(what);
  if (found == watches_.end()) {
    later([](std::shared_ptr<session> self, std::string subject) -> task<> {
      co_await self->once("pass_on", words_of(subject));
    }(shared_from_this(), what));
    return;
  }
  ++found->second->version;
  found->second->event.notify_all();
}

void session::wake_everyone() {
  for (auto& [what, entry] : watches_) {
    ++entry->version;
    entry->event.notify_all();
  }
}

session::watch::watch(std::shared_ptr<session> self, std::string what)
    : self_(std::move(self)), what_(std::move(what)) {
  auto& there = self_->watches_[what_];
  if (there == nullptr) there = std::make_shared<entry>();
  entry_ = there;
  ++entry_->watchers;
  seen_ = entry_->version;
}

/// If the last one that waits goes after it was told, and has not looked, the engine is to tell somebody else.
session::watch::~watch() {
  if (--entry_->watchers != 0) return;
  self_->watches_.erase(what_);
  if (seen_ != entry_->version) self_->heard_wake(what_);
}

task<> session::watch::changed() {
  while (seen_ == entry_->version) co_await entry_->event.wait();
}

}  // namespace brood::cluster::detail
