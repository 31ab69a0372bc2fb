// The greeting, and requests that are carried out once.
#include <fmt/format.h>

#include <string_view>

#include "brood/cluster/error.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "cluster/functions.hpp"
#include "cluster/session.hpp"

namespace brood::cluster::detail {
namespace {

/// The value of `name:value` in what INFO says; empty if there is none.
std::string_view field(std::string_view info, std::string_view name) {
  for (std::size_t at = 0; at < info.size();) {
    const std::size_t end = std::min(info.find("\r\n", at), info.size());
    const std::string_view line = info.substr(at, end - at);
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ':') {
      return line.substr(name.size() + 1);
    }
    at = end + 2;
  }
  return {};
}

}  // namespace

void throw_failure(const answer& failure) {
  if (failure.is_failure("DEAD")) throw session_over();
  if (failure.is_failure("CLOSED")) throw closed("the queue is closed");
  if (failure.is_failure("MISMATCH")) throw error("brood::cluster: " + failure.text.substr(9));
  if (failure.is_failure("WRONGKEY")) throw authentication_error(failure.text.substr(9));
  throw engine_refused("brood::cluster: the engine refused: " + failure.text);
}

words session::request(std::string_view function) const {
  return words{"FCALL", function_name(function), "1", prefix_};
}

task<> session::authenticate(redis_link& link) {
  if (settings_.password.empty()) co_return;
  words login{"AUTH"};
  if (!settings_.user.empty()) login.push_back(settings_.user);
  login.push_back(settings_.password);
  const answer let_in = co_await link.greet(std::move(login));
  if (let_in.what == answer::kind::failure) {
    link.refuse(
        std::make_exception_ptr(engine_refused("brood::cluster: the engine refused: " + let_in.text)));
  }
}

task<> session::greet(redis_link& link) {
  co_await authenticate(link);
  const answer info = co_await link.greet(words_of("INFO", "server", "memory", "persistence", "replication"));
  try {
    if (info.what == answer::kind::failure) {
      if (info.is_failure("LOADING")) throw error(info.text);
      throw_failure(info);
    }
    check_engine(info.string());
    if (settings_.required == durability::always) {
      answer how = co_await link.greet(words_of("CONFIG", "GET", "appendfsync"));
      if (how.what == answer::kind::failure) throw_failure(how);
      if (how.at(1).string() != "always") {
        throw engine_refused(
            "brood::cluster: durability::always was required, and the engine's appendfsync is " +
            how.at(1).string());
      }
    }
  } catch (const engine_refused&) {
    link.refuse(std::current_exception());
  }
  const std::string run(field(info.string(), "run_id"));
  words attaching = request("attach");
  attaching.push_back(run);
  attaching.push_back(epoch_.empty() ? "0" : epoch_);
  answer attached = co_await link.greet(attaching);
  if (attached.text == "ERR Function not found") {
    const answer loaded = co_await link.greet(words_of("FUNCTION", "LOAD", function_library()));
    if (loaded.what == answer::kind::failure && loaded.text.find("already exists") == std::string::npos) {
      link.refuse(std::make_exception_ptr(
          engine_refused("brood::cluster: the engine refused to load brood's functions: " + loaded.text)));
    }
    attached = co_await link.greet(attaching);
  }
  if (attached.what == answer::kind::failure) throw engine_refused(attached.text);
  if (!run_.empty() && run_ != run) restarted();
  run_ = run;
  if (!epoch_.empty()) inbox_.reconnect();  // what broke this connection may have broken that one unseen
}

/// Throws `engine_refused` if the engine cannot do, and `error` if it cannot now.
void session::check_engine(const std::string& info) {
  const auto has = [&](std::string_view name, std::string_view value) { return field(info, name) == value; };
  if (has("loading", "1")) throw error("the engine is loading its data");
  if (has("role", "slave")) throw error("the engine is a replica");
  const int major = std::atoi(std::string(field(info, "redis_version")).c_str());
  if (major < 7) {
    throw engine_refused(fmt::format("brood::cluster: Redis 7.0 or later is needed, and the engine is {}",
                                     field(info, "redis_version")));
  }
  if (!has("maxmemory_policy", "noeviction")) {
    throw engine_refused(fmt::format(
        "brood::cluster: the engine may throw data away (its maxmemory-policy is {}): set it to noeviction",
        field(info, "maxmemory_policy")));
  }
  if (settings_.required != durability::any && !has("aof_enabled", "1")) {
    throw engine_refused(
        "brood::cluster: durability was required, and the engine writes no append-only file: set appendonly "
        "to yes");
  }
}

/// Nothing that was not written down is there any more. Those who wait ask again; then it is settled who has what.
void session::restarted() {
  reread_ = true;
  inbox_.reconnect();
  wake_everyone();
  for (auto& [name, permit] : permits_) {
    if (!permit->granted) permit->changed.notify_all();
  }
  later(reconcile());
}

task<> session::reconcile() {
  reconciling_ = true;
  struct until_end {
    session& self;
    ~until_end() {
      self.reconciling_ = false;
      self.takes_over_.notify_all();
    }
  } guard{*this};
  while (takes_ != 0) co_await takes_over_.wait();
  words mine{"", std::to_string(leases_.size())};
  mine.insert(mine.end(), leases_.begin(), leases_.end());
  for (const auto& [name, permit] : permits_) mine.push_back(name);
  answer lost = co_await own("reconcile", std::move(mine));
  for (const answer& holder : lost.list()) {
    std::erase_if(permits_, [&](auto& each) {
      if (!each.second->granted || !each.first.ends_with("|" + holder.string())) return false;
      each.second->lost = true;
      return true;
    });
  }
}

task<answer> session::take(const std::string& queue, std::size_t most, bool wait) {
  while (reconciling_) co_await takes_over_.wait();
  struct counted {
    session& self;
    explicit counted(session& s) : self(s) { ++self.takes_; }
    ~counted() {
      --self.takes_;
      self.takes_over_.notify_all();
    }
  } guard(*this);
  words arguments{queue, std::to_string(most), wait ? "1" : "0"};
  answer taken = co_await own("take", std::move(arguments));
  for (auto& item : taken.list()) leases_.insert(queue + "|" + item.at(0).string());
  co_return taken;
}

task<answer> session::ask(std::string_view function, words arguments) {
  co_await joined();
  words asking = request(function);
  for (auto& word : arguments) asking.push_back(std::move(word));
  answer got = co_await commands_.call(std::move(asking), clock::now() + settings_.patience);
  if (got.what == answer::kind::failure) throw_failure(got);
  co_return got;
}

task<answer> session::once(std::string_view function, words arguments) {
  return carry_out(function, std::move(arguments), true);
}

task<answer> session::own(std::string_view function, words arguments) {
  return carry_out(function, std::move(arguments), false);
}

task<answer> session::carry_out(std::string_view function, words arguments, bool in_any_session) {
  const auto until = clock::now() + settings_.patience;
  struct numbered {
    session& self;
    std::uint64_t number;
    explicit numbered(session& s) : self(s), number(++s.last_request_) { self.open_requests_.insert(number); }
    ~numbered() { self.open_requests_.erase(number); }
  } guard(*this);
  if (!in_any_session && epoch_.empty()) throw session_over();
  for (;;) {
    co_await joined();
    const std::string epoch = epoch_;
    words asking = request(function);
    for (std::string word :
         {epoch, origin_, std::to_string(guard.number), std::to_string(*open_requests_.begin())}) {
      asking.push_back(std::move(word));
    }
    asking.insert(asking.end(), arguments.begin(), arguments.end());
    answer got = co_await commands_.call(std::move(asking), until);
    if (got.is_failure("DEAD") && in_any_session) {
      if (epoch_ == epoch) end_epoch();
      continue;
    }
    if (!in_any_session && epoch_ != epoch) throw session_over();
    if (got.what == answer::kind::failure) throw_failure(got);
    co_return got;
  }
}

}  // namespace brood::cluster::detail
