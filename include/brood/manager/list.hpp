// managed::list and managed::array: values in order in a manager.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <ranges>
#include <utility>

#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/manager/detail/proxy.hpp"
#include "brood/manager/detail/update_entry.hpp"

namespace brood::remote {

/// What lists and arrays share. Every member is one request, and one step, but for `each` and `sort`. Indices
/// below zero count from the end: -1 is the last. An index that is not there throws `remote_error`,
/// `std::out_of_range`. Values are equal where their encodings are.
template <class Self, class T>
class sequence : public proxy_of<Self> {
 protected:
  using method = list_method;

 public:
  using proxy_of<Self>::proxy_of;

  auto at(std::int64_t index) const { return remote_call(at_index(method::at, index), to_value<T>()); }
  template <argument_for<T> A = T>
  auto set(std::int64_t index, A&& value) const {
    detail::require_safe_temporary<A>();
    request what = at_index(method::set, index);
    what.value(as<T>(value));
    return remote_call(std::move(what), to_nothing());
  }
  /// `update<f>(index, arguments...)` runs `T f(T, arguments...)` or `void f(T&, arguments...)` in the
  /// server, with nothing in between. Gives the new value.
  template <auto F, class... A>
  auto update(std::int64_t index, A&&... arguments) const {
    detail::require_safe_temporary<A...>();
    using entry = update_entry<F>;
    static_assert(std::is_same_v<typename entry::value, T>, "the function's first parameter is the element");
    request what = at_index(method::apply, index);
    what.fixed(entry::name());
    entry::put_arguments(what, std::forward<A>(arguments)...);
    return remote_call(std::move(what), to_value<T>());
  }
  auto size() const { return this->asked(to_size(), method::size); }
  /// As they are at one moment: a copy.
  auto items() const { return this->asked(to_values<T>(), method::items); }
  /// Those from `begin` up to but without `end`, as far as they are there.
  auto slice(std::int64_t begin, std::int64_t end = std::numeric_limits<std::int64_t>::max()) const {
    request what = at_index(method::slice, begin);
    what.index(end);
    return remote_call(std::move(what), to_values<T>());
  }
  /// One after the other, each as it is when it is asked for: what is changed or appended meanwhile is seen.
  /// With `at_a_time` they come in groups of so many, each as it was at one moment.
  generator<T> each(std::size_t at_a_time = 1) const { return walk(*this, at_a_time); }
  /// Where the first one is that is equal; empty if nowhere.
  template <argument_for<T> A = T>
  auto index(A&& value) const {
    return this->template asked_with<T>(to_index(), method::index, std::forward<A>(value));
  }
  /// How many are equal.
  template <argument_for<T> A = T>
  auto count(A&& value) const {
    return this->template asked_with<T>(to_size(), method::count, std::forward<A>(value));
  }
  auto reverse() const { return this->asked(to_nothing(), method::reverse); }
  /// Sorts them here, and puts them back if nothing was changed meanwhile; else once more.
  template <class Less = std::less<>>
  task<> sort(Less less = Less()) const {
    return sorted(*this, std::move(less));
  }

 protected:
  request at_index(method which, std::int64_t index) const {
    request what(this->object(), which);
    what.index(index);
    return what;
  }
  template <class Values>
  static void put_all(request& what, const Values& values) {
    what.count(std::ranges::size(values));
    for (const auto& value : values) what.template value<T>(value);
  }

 private:
  struct to_index {
    std::optional<std::size_t> operator()(answer_reader& from) const {
      const std::uint64_t found = from.count();
      return found == 0 ? std::nullopt : std::optional(static_cast<std::size_t>(found - 1));
    }
  };
  struct versioned {
    std::uint64_t version;
    std::vector<T> values;
  };
  struct to_versioned {
    versioned operator()(answer_reader& from) const {
      const std::uint64_t version = from.count();
      return {version, from.values<T>()};
    }
  };

  static generator<T> walk(sequence self, std::size_t at_a_time) {
    const auto step = static_cast<std::int64_t>(std::clamp<std::size_t>(at_a_time, 1, 1 << 20));
    for (std::int64_t at = 0;; at += step) {
      auto some = co_await self.slice(at, at + step);
      if (some.empty()) co_return;
      for (auto&& value : some) {
        T own = std::move(value);
        co_yield moved{own};
      }
    }
  }
  template <class Less>
  static task<> sorted(sequence self, Less less) {
    for (bool done = false; !done;) {
      remote_call reading(self.about(method::versioned_items), to_versioned());
      versioned now = co_await std::move(reading);
      std::sort(now.values.begin(), now.values.end(), less);
      request what = self.about(method::assign_if);
      what.count(now.version);
      put_all(what, now.values);
      remote_call writing(std::move(what), to_flag());
      done = co_await std::move(writing);
    }
  }
};

}  // namespace brood::remote

namespace brood::managed {

/// A list of any length.
template <class T>
class list : public remote::sequence<list<T>, T> {
  using base = remote::sequence<list<T>, T>;
  using method = remote::list_method;

 public:
  using base::base;
  static std::uint64_t type() { return remote::type_key<T>(remote::kind::list); }

  template <remote::argument_for<T> A = T>
  auto append(A&& value) const {
    return this->template asked_with<T>(remote::to_nothing(), method::append, std::forward<A>(value));
  }
  template <std::ranges::sized_range Values>
  auto extend(Values&& values) const {
    detail::require_safe_temporary<Values>();
    return with(this->about(method::extend), values);
  }
  /// Replaces all there is.
  template <std::ranges::sized_range Values>
  auto assign(Values&& values) const {
    detail::require_safe_temporary<Values>();
    return with(this->about(method::assign), values);
  }
  /// Replaces those of `slice(begin, end)`, by any number of values.
  template <std::ranges::sized_range Values>
  auto replace(std::int64_t begin, std::int64_t end, Values&& values) const {
    detail::require_safe_temporary<Values>();
    remote::request what = this->at_index(method::replace, begin);
    what.index(end);
    return with(std::move(what), values);
  }
  /// Before the element at `index`; beyond the ends, at the end.
  template <remote::argument_for<T> A = T>
  auto insert(std::int64_t index, A&& value) const {
    detail::require_safe_temporary<A>();
    remote::request what = this->at_index(method::insert, index);
    what.value(remote::as<T>(value));
    return remote_call(std::move(what), remote::to_nothing());
  }
  auto erase(std::int64_t index) const {
    return remote_call(this->at_index(method::erase, index), remote::to_nothing());
  }
  /// The first one that is equal; gives whether there was one.
  template <remote::argument_for<T> A = T>
  auto remove(A&& value) const {
    return this->template asked_with<T>(remote::to_flag(), method::remove, std::forward<A>(value));
  }
  auto pop(std::int64_t index = -1) const {
    return remote_call(this->at_index(method::pop, index), remote::to_value<T>());
  }
  auto clear() const { return this->asked(remote::to_nothing(), method::clear); }

 private:
  template <class Values>
  static remote_call<remote::to_nothing> with(remote::request what, const Values& values) {
    base::put_all(what, values);
    return {std::move(what), {}};
  }
};

/// As many values as it was made with.
template <class T>
class array : public remote::sequence<array<T>, T> {
 public:
  using remote::sequence<array<T>, T>::sequence;
  static std::uint64_t type() { return remote::type_key<array, T>(remote::kind::list); }
};

}  // namespace brood::managed
