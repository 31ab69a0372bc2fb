// manager: objects that live in a server and are used from any process, of this family or not, on this machine or another.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "brood/channel/address.hpp"
#include "brood/channel/authkey.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/manager/barrier.hpp"
#include "brood/manager/condition.hpp"
#include "brood/manager/dict.hpp"
#include "brood/manager/error.hpp"
#include "brood/manager/event.hpp"
#include "brood/manager/list.hpp"
#include "brood/manager/lock.hpp"
#include "brood/manager/name_space.hpp"
#include "brood/manager/object.hpp"
#include "brood/manager/queue.hpp"
#include "brood/manager/semaphore.hpp"
#include "brood/manager/set.hpp"
#include "brood/manager/start.hpp"
#include "brood/manager/value.hpp"
#include "brood/process/detail/function_entry.hpp"

namespace brood {

namespace managed {
class pool;
}
namespace remote {
struct running_server;

/// Reads the handle of a new object out of an answer.
template <class Proxy>
struct to_proxy {
  Proxy operator()(answer_reader& from) const { return Proxy(from.object(Proxy::type())); }
};
}  // namespace remote

/// A handle of a manager. Copies name the same one; it can be an argument of children and travel in messages of the
/// family, with its key. Requests of all coroutines share one connection of this process, without waiting for each other.
/// A connection that is lost fails the calls under way with `disconnected`; the next call connects again. What this
/// process held there, its locks, permits, waiting calls and references, is gone then; an object that others or a name
/// keep is found again, otherwise calls on it throw `object_gone`. Where another manager serves at the address by then, a
/// handle that was got by a name asks for it again, and makes the object anew if there is none.
/// Lifetime: the server ends by `shutdown`, or with the process that started it. Thread: the loop's.
class BROOD_API manager {
 public:
  manager() = default;

  /// Starts a server, in a child or here. `co_await manager::start()`, with the setters of `start_manager`.
  static start_manager start();
  /// Connects to one that runs. `co_await manager::connect(where, key)`.
  static connect_manager connect(brood::address where, brood::authkey key = brood::authkey());

  const brood::address& address() const;
  const brood::authkey& authkey() const;
  /// The server's process, where this process started it; else 0.
  pid_t pid() const noexcept;

  /// Ends the server, whoever asks: the calls of all others fail with `disconnected`. Where this process started it,
  /// waits for its end.
  task<> shutdown() const;

  // Each makes a new object, or with a name finds the one of that name, which is made if there is none and then lives as
  // long as the manager. `co_await` gives the handle. Throws `call_refused` for a name of an object of another type.

  template <class K, class V>
  auto dict(std::string_view name = {}) const {
    return made<managed::dict<K, V>>(remote::kind::dict, name);
  }
  template <class T>
  auto list(std::string_view name = {}) const {
    return list<T>(std::vector<T>(), name);
  }
  /// With its first values, where it is new.
  template <class T>
  auto list(const std::vector<T>& first, std::string_view name = {}) const {
    return sequence<managed::list<T>>(first, name);
  }
  template <class T>
  auto array(std::size_t size, std::string_view name = {}) const {
    return array<T>(std::vector<T>(size), name);
  }
  template <class T>
  auto array(const std::vector<T>& first, std::string_view name = {}) const {
    return sequence<managed::array<T>>(first, name);
  }
  auto name_space(std::string_view name = {}) const {
    return made<managed::name_space>(remote::kind::dict, name);
  }
  template <class T>
  auto set(std::string_view name = {}) const {
    return made<managed::set<T>>(remote::kind::set, name);
  }
  template <class T>
  auto value() const {
    const T first = T();
    return value<T>(first);
  }
  template <class T, remote::argument_for<T> A = T>
  auto value(A&& first, std::string_view name = {}) const {
    detail::require_safe_temporary<A>();
    remote::request what(home(), remote::kind::value, managed::value<T>::type(), name);
    what.value(remote::as<T>(first));
    return remote_call(std::move(what), remote::to_proxy<managed::value<T>>());
  }
  /// `capacity` items; 0 for no bound.
  template <class T>
  auto queue(std::size_t capacity = 0, std::string_view name = {}) const {
    remote::request what(home(), remote::kind::queue, managed::queue<T>::type(), name);
    what.count(capacity);
    return remote_call(std::move(what), remote::to_proxy<managed::queue<T>>());
  }
  auto lock(std::string_view name = {}) const { return made_lock(name, false); }
  /// One that its owner, a process, can acquire again.
  auto rlock(std::string_view name = {}) const { return made_lock(name, true); }
  auto semaphore(std::size_t permits, std::string_view name = {}) const {
    return made_semaphore(permits, name, false);
  }
  auto bounded_semaphore(std::size_t permits, std::string_view name = {}) const {
    return made_semaphore(permits, name, true);
  }
  auto event(std::string_view name = {}) const { return made<managed::event>(remote::kind::event, name); }
  auto condition(const managed::lock& its_lock, std::string_view name = {}) const {
    remote::request what(home(), remote::kind::condition, managed::condition::type(), name);
    what.value(its_lock);
    return remote_call(std::move(what), remote::to_proxy<managed::condition>());
  }
  auto barrier(std::size_t parties, std::string_view name = {}) const {
    remote::request what(home(), remote::kind::barrier, managed::barrier::type(), name);
    what.count(parties);
    return remote_call(std::move(what), remote::to_proxy<managed::barrier>());
  }
  /// `task<managed::pool>`, with `brood/managed_pool.hpp`: workers in the server's process, which has to be of this
  /// program. Throws `remote_error`, `std::invalid_argument`, for less than one.
  template <class Pool = managed::pool>
  task<Pool> pool(int workers, std::string_view name = {}) const {
    return Pool::open(made_as<Pool, typename Pool::shared>(name, workers));
  }
  /// An object of a class of the program's own, made in the server from copies of `arguments`.
  template <class T, class... A>
  auto make(A&&... arguments) const {
    return make_named<T>({}, std::forward<A>(arguments)...);
  }
  template <class T, class... A>
  auto make_named(std::string_view name, A&&... arguments) const {
    return made_as<managed::object<T>, T>(name, std::forward<A>(arguments)...);
  }

  /// How many objects the server holds: named ones, and all that somebody refers to.
  auto objects() const {
    return remote_call(remote::request(home(), remote::operation::objects), remote::to_size());
  }

  template <class Archive>
  void save(Archive& archive) const {
    const remote::passport papers = own_passport();
    archive(papers.address, papers.key);
  }
  template <class Archive>
  void load(Archive& archive) {
    remote::passport papers;
    archive(papers.address, papers.key);
    *this = from_passport(papers);
  }

 private:
  friend class start_manager;
  friend class connect_manager;

  manager(std::shared_ptr<remote::client> home, std::shared_ptr<remote::running_server> server) noexcept
      : home_(std::move(home)), server_(std::move(server)) {}

  const std::shared_ptr<remote::client>& home() const;
  remote::passport own_passport() const;
  static manager from_passport(const remote::passport& papers);

  template <class Proxy, class T, class... A>
  remote_call<remote::to_proxy<Proxy>> made_as(std::string_view name, A&&... arguments) const {
    detail::require_safe_temporary<A...>();
    using entry = remote::constructor_entry<T, remote::traveller<A>...>;
    static_assert(std::is_constructible_v<T, remote::traveller<A>...>,
                  "brood: the class has no such constructor");
    remote::request what(home(), remote::kind::user, managed::object<T>::type(), name);
    static_cast<void>(&entry::node);
    const std::tuple<remote::traveller<A>...> given(std::forward<A>(arguments)...);
    std::apply(
        [&](const auto&... each) {
          if (const auto* named = remote::class_identity<T>::constructors) {
            const std::array<remote::given_argument, sizeof...(A)> all{remote::given_argument(each)...};
            return remote::put_constructor(what, named, all);
          }
          what.fixed(entry::name_for(managed::object<T>::type()));
          (what.value(each), ...);
        },
        given);
    return {std::move(what), {}};
  }
  template <class Proxy, class Values>
  remote_call<remote::to_proxy<Proxy>> sequence(const Values& first, std::string_view name) const {
    remote::request what(home(), remote::kind::list, Proxy::type(), name);
    what.count(first.size());
    for (const auto& value : first) what.value<typename Values::value_type>(value);
    return {std::move(what), {}};
  }

  template <class Proxy>
  remote_call<remote::to_proxy<Proxy>> made(remote::kind what, std::string_view name) const {
    return remote_call(remote::request(home(), what, Proxy::type(), name), remote::to_proxy<Proxy>());
  }
  remote_call<remote::to_proxy<managed::lock>> made_lock(std::string_view name, bool recursive) const {
    remote::request what(home(), remote::kind::lock, managed::lock::type(), name);
    what.count(recursive ? 1 : 0);
    return {std::move(what), {}};
  }
  remote_call<remote::to_proxy<managed::semaphore>> made_semaphore(std::size_t permits, std::string_view name,
                                                                   bool bounded) const {
    remote::request what(home(), remote::kind::semaphore, managed::semaphore::type(), name);
    what.count(permits).count(bounded ? 1 : 0);
    return {std::move(what), {}};
  }

  std::shared_ptr<remote::client> home_;
  std::shared_ptr<remote::running_server> server_;
};

inline detail::owned_task<manager> start_manager::operator co_await() && {
  once_.spend();
  return detail::owned_task<manager>(started(std::move(settings_), here_));
}
inline detail::owned_task<manager> connect_manager::operator co_await() && {
  once_.spend();
  return detail::owned_task<manager>(connected(std::move(where_), key_, deadline_));
}
inline start_manager manager::start() { return {}; }
inline connect_manager manager::connect(brood::address where, brood::authkey key) {
  return {std::move(where), key};
}

}  // namespace brood
