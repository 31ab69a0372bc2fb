// space: the objects of a server and the sessions of its clients. Knows nothing of sockets or of a loop, so it can be fuzzed.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "brood/coroutine/detail/task_group.hpp"
#include "brood/coroutine/executor.hpp"
#include "manager/object.hpp"

namespace brood::remote {

class client;

class space {
 public:
  struct limits {
    std::size_t max_outstanding = 16'384;                 // parked calls of one client
    std::uint64_t max_message = std::uint64_t{64} << 20;  // of a client, in bytes; the link sees to it
    std::chrono::nanoseconds loan = std::chrono::seconds(60);
  };

  explicit space(const limits& bounds);
  ~space();
  space(const space&) = delete;
  space& operator=(const space&) = delete;

  /// Throws `failure`, outcome `gone`.
  object& find(number id) const;
  /// The named object, which is made if there is none. Throws if it is of another type.
  object& named(const std::string& name, kind what, std::uint64_t type, const std::function<object*()>& make);

  /// Keeps an object for the time of a loan.
  void lend(object& o);
  /// When `end_loans` has something to do; `max()` for never.
  clock::time_point next_loan_end() const noexcept;
  void end_loans(clock::time_point now);

  /// Destroys what nothing refers to. Between calls only: not recursively, however deep objects are nested.
  void sweep() noexcept;

  std::uint64_t instance() const noexcept { return instance_; }
  std::size_t size() const noexcept { return objects_.size(); }
  const limits& bounds() const noexcept { return limits_; }

  std::function<void()> on_shutdown = [] {};
  /// For handles inside of arguments of user's classes: how this process reaches its own server.
  std::shared_ptr<client> home;
  /// Coroutines of user's classes, to be joined before this ends.
  detail::task_group calls{nullptr};

 private:
  friend class object;
  friend class object_ref;
  friend class session;

  /// Objects that are looked at for one suspect; a larger structure waits until the search pays.
  static constexpr std::size_t most_visited = 64;

  struct loan {
    clock::time_point until;
    object_ref what;
  };

  number add(object& o);
  void unreferenced(object& o) noexcept;
  /// No session holds it any more, but values do: perhaps only its own, by way of others.
  void suspect(object& o) noexcept;
  void collect_cycle(object& start);
  void collect_all();

  limits limits_;
  std::uint64_t instance_;
  number last_ = 0;
  std::unordered_map<number, object*> objects_;
  std::map<std::string, object_ref, std::less<>> names_;
  std::deque<loan> loans_;
  object* unreferenced_ = nullptr;  // and those after it, by `next_doomed_`
  std::vector<number> suspects_;
  std::size_t postponed_ = 0;  // suspects that were left to `collect_all`
  bool ending_ = false;
};

}  // namespace brood::remote
