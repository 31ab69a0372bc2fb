// connect: joins a cluster.
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "brood/channel/key_file.hpp"
#include "brood/cluster/dict.hpp"
#include "brood/cluster/error.hpp"
#include "brood/cluster/lock.hpp"
#include "brood/cluster/queue.hpp"
#include "brood/cluster/settings.hpp"

namespace brood::cluster {

/// A host that lends its workers.
struct host {
  std::string id;     ///< its session, a new one each time it joins
  std::string name;   ///< of the machine
  std::string build;  ///< of the program it runs
  int workers = 0;
  std::uint64_t chunks = 0;  ///< that it has taken and not finished
};

/// This process's place in a cluster, through which everything of it is reached. A small handle: copies name the same
/// place. Lifetime: when the last handle of it and of what it gave is dropped the process is gone from the cluster after
/// a lease; after `close`, at once. Thread: the one that runs the loop it was made on.
class BROOD_API client {
 public:
  explicit client(detail::membership_pointer of) noexcept : of_(std::move(of)) {}

  /// `capacity` 0: unbounded. All who name a queue must name the same capacity; else its operations throw `error`.
  template <class T>
  cluster::queue<T> queue(std::string name, std::uint64_t capacity = 0) const {
    return cluster::queue<T>(std::make_shared<const detail::queue_core>(of_, std::move(name), capacity));
  }
  template <class K, class V>
  cluster::dict<K, V> dict(std::string name) const {
    return cluster::dict<K, V>(std::make_shared<const detail::dict_core>(of_, std::move(name)));
  }
  cluster::lock lock(std::string name) const { return {of_, std::move(name)}; }
  cluster::semaphore semaphore(std::string name, std::uint64_t permits) const {
    return {of_, std::move(name), permits};
  }
  cluster::event event(std::string name) const { return {of_, std::move(name)}; }

  /// The hosts that are there, of all builds.
  [[nodiscard]] task<std::vector<host>> hosts() const;
  /// Waits until there are so many hosts of this build. Throws `no_hosts`, which names those that are there.
  [[nodiscard]] task<> require_hosts(std::size_t count, std::chrono::milliseconds deadline) const;

  /// Gives back whatever is held and leaves. What is under way fails with `closed`.
  [[nodiscard]] task<> close() const;

  const detail::membership_pointer& place() const noexcept { return of_; }

 private:
  detail::membership_pointer of_;
};

/// What `connect` gives: set what is to be set, then `co_await` it.
class [[nodiscard("nothing is joined until this is awaited")]] BROOD_API connect_operation {
 public:
  explicit connect_operation(settings chosen) : settings_(std::move(chosen)) {}

  /// Of the cluster; several can share an engine. Default "brood".
  connect_operation&& name(std::string text) && {
    settings_.name = std::move(text);
    return std::move(*this);
  }
  /// Who this is to the engine (ACL SETUSER); without a name its default user.
  connect_operation&& user(std::string who, std::string password) && {
    settings_.user = std::move(who);
    settings_.password = std::move(password);
    return std::move(*this);
  }
  /// After so long without a word from this process others take over what it had. Default 10 s, 100 ms at least.
  connect_operation&& lease(std::chrono::milliseconds d) && {
    settings_.lease = d;
    return std::move(*this);
  }
  /// How long an operation waits for an engine that cannot be reached. Default 60 s.
  connect_operation&& patience(std::chrono::milliseconds d) && {
    settings_.patience = d;
    return std::move(*this);
  }
  /// Looks at how the engine keeps its data; `engine_refused` if that is less.
  connect_operation&& require(durability least) && {
    settings_.required = least;
    return std::move(*this);
  }

  auto operator co_await() && { return brood::detail::owned_task<client>(start(std::move(settings_))); }

 private:
  static task<client> start(settings chosen);
  settings settings_;
};

/// Joins the cluster whose engine (Redis 7.0 or later) is at this address, with the key that its members share. Throws
/// `engine_unavailable`, `engine_refused`, and `authentication_error` if the members have another key.
inline connect_operation connect(address engine, authkey key) {
  settings chosen{.where = std::move(engine), .key = std::move(key)};
  return connect_operation(std::move(chosen));
}

using brood::key_from_file;

}  // namespace brood::cluster
