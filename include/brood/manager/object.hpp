// managed::object: an object of a class of the user's in a manager.
#pragma once

#include <utility>

#include "brood/manager/detail/method_entry.hpp"
#include "brood/manager/detail/proxy.hpp"
#include "brood/manager/detail/stream.hpp"

namespace brood::managed {

/// `co_await c.call<&counter::add>(5)`.
template <class T>
class object : public remote::proxy_of<object<T>> {
 public:
  using remote::proxy_of<object>::proxy_of;
  static std::uint64_t type() { return remote::class_identity<T>::name(); }

  /// Calls a method in the server; gives its result. Plain methods run one at a time; a coroutine (`task<R>`) runs beside
  /// others. Throws `remote_error` with what it threw. Cancellation: cancels a coroutine in the server.
  template <auto Method, class... A>
  auto call(A&&... arguments) const {
    using entry = remote::method_entry<T, Method>;
    static_assert(!remote::task_result<typename entry::returned>::is_stream,
                  "brood: a method that gives a generator is for each<&T::method>()");
    remote::request what = asking<entry>(std::forward<A>(arguments)...);
    if constexpr (std::is_void_v<typename entry::result>) {
      return remote_call(std::move(what), remote::to_nothing());
    } else {
      return remote_call(std::move(what), remote::to_value<typename entry::result>());
    }
  }

  /// `auto lines = o.each<&T::method>(arguments...); while (auto line = co_await lines.next()) ...`: what a
  /// method gives that is a `generator<R>`, as `generator<R>`. It runs in the server, as far as values are
  /// asked for, and ends with the generator here or with this process. Throws as `call`, and then is at its
  /// end.
  template <auto Method, class... A>
  auto each(A&&... arguments) const {
    using entry = remote::method_entry<T, Method>;
    static_assert(remote::task_result<typename entry::returned>::is_stream,
                  "brood: each<&T::method>() is for methods that give a generator");
    using stream = remote::stream_proxy<typename entry::result>;
    return remote::read_stream(
        remote_call(asking<entry>(std::forward<A>(arguments)...), remote::to_value<stream>()));
  }

 private:
  template <class Entry, class... A>
  remote::request asking(A&&... arguments) const {
    detail::require_safe_temporary<A...>();
    remote::request what(this->remote::proxy::object(), Entry::name());
    Entry::put_arguments(what, std::forward<A>(arguments)...);
    return what;
  }
};

}  // namespace brood::managed

namespace brood {

/// Names for what is shared with programs that are not built from the same declarations, in both of them, with static
/// storage: `const brood::registered_class<counter, int> counter_name("counter");` for the constructor from an int. `make`
/// finds the named constructor that takes its arguments; a number may be of another type than the constructor's, if that can
/// hold it.
template <class T, class... A>
class registered_class {
 public:
  explicit registered_class(std::string_view name) noexcept
      : entry_(remote::registration::what::user_class,
               remote::constructor_entry<T, A...>::name_for(remote::hash_name(name)),
               &remote::class_identity<T>::here) {
    remote::class_identity<T>::given_name = remote::hash_name(name);
    remote::constructor_entry<T, A...>::fill(entry_);
    arguments_ = {entry_.key, &remote::named_constructor::put_as<A...>,
                  std::exchange(remote::class_identity<T>::constructors, &arguments_)};
  }
  registered_class(const registered_class&) = delete;
  registered_class& operator=(const registered_class&) = delete;

 private:
  remote::registration entry_;
  remote::named_constructor arguments_;
};

/// `const brood::registered_method<counter, &counter::add> add_name("counter.add");`
template <class T, auto Method>
class registered_method {
 public:
  explicit registered_method(std::string_view name) noexcept
      : entry_(remote::registration::what::method, remote::hash_name(name),
               &remote::class_identity<T>::here) {
    remote::method_entry<T, Method>::given_name = remote::hash_name(name);
    remote::method_entry<T, Method>::fill(entry_);
  }

 private:
  remote::registration entry_;
};

/// For `update<f>`.
template <auto F>
class registered_function {
 public:
  explicit registered_function(std::string_view name) noexcept
      : entry_(remote::registration::what::function, remote::hash_name(name), nullptr) {
    remote::update_entry<F>::given_name = remote::hash_name(name);
    remote::update_entry<F>::fill(entry_);
  }

 private:
  remote::registration entry_;
};

}  // namespace brood
