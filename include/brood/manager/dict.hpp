// managed::dict: a dictionary in a manager.
#pragma once

#include <algorithm>
#include <concepts>
#include <optional>
#include <ranges>
#include <utility>
#include <vector>

#include "brood/coroutine/generator.hpp"
#include "brood/manager/detail/proxy.hpp"
#include "brood/manager/detail/update_entry.hpp"

namespace brood::remote {

/// Keys are equal where their bytes are, so nothing of a key may be left to chance.
template <class K>
inline constexpr bool has_equal_bytes =
    !(is_flat<K> && std::is_class_v<K>) || std::has_unique_object_representations_v<K>;

/// Reads a whole dictionary out of an answer.
template <class K, class V>
struct to_items {
  std::vector<std::pair<K, V>> operator()(answer_reader& from) const {
    std::vector<std::pair<K, V>> result;
    const std::size_t size = from.size();
    result.reserve(size);
    for (std::size_t i = 0; i < size; ++i) {
      K key = from.value<K>();
      result.emplace_back(std::move(key), from.value<V>());
    }
    return result;
  }
};
/// Reads a key and its value out of an answer.
template <class K, class V>
struct to_item {
  std::pair<K, V> operator()(answer_reader& from) const {
    K key = from.value<K>();
    return {std::move(key), from.value<V>()};
  }
};

/// Some of the items of a dict or a set, and what its keys were when they were read.
template <class Items>
struct stretch {
  std::uint64_t version;
  Items items;
};
/// Reads one out of an answer, its items by `Finish`.
template <class Finish>
struct to_stretch {
  auto operator()(answer_reader& from) const {
    const std::uint64_t version = from.count();
    return stretch<decltype(Finish()(from))>{version, Finish()(from)};
  }
};

/// From item to item. Each answer says what the keys were; the server refuses to go on from others.
template <class K, class Item, class Finish, class Method>
generator<Item> walk(object_pointer through, Method method, std::size_t at_a_time,
                     const K& (*key_of)(const Item&)) {
  std::optional<K> last;
  for (std::uint64_t version = 0;;) {
    request what(through, method);
    what.count(version).count(std::max<std::size_t>(at_a_time, 1));
    if (last) what.template value<K>(*last);
    remote_call reading(std::move(what), to_stretch<Finish>());
    auto some = co_await std::move(reading);
    if (some.items.empty()) co_return;
    version = some.version;
    for (auto&& item : some.items) {
      Item own = std::move(item);
      last = key_of(own);
      co_yield moved{own};
    }
  }
}

/// Reads a value that may be missing out of an answer.
template <class V>
struct to_value_or {
  V fallback;
  V operator()(answer_reader& from) {
    auto found = from.optional<V>();
    return found ? std::move(*found) : std::move(fallback);
  }
};

}  // namespace brood::remote

namespace brood::managed {

/// Every member is one request, and one step: nobody sees half of it. Keys stay in the order in which they came. Keys
/// and values are compared by their encodings (so 0.0 is not -0.0).
template <class K, class V>
class dict : public remote::proxy_of<dict<K, V>> {
  static_assert(remote::has_equal_bytes<K>,
                "brood: a key with padding between its members: equal keys might differ");
  using method = remote::dict_method;

 public:
  using remote::proxy_of<dict>::proxy_of;
  static std::uint64_t type() { return remote::type_key<K, V>(remote::kind::dict); }

  /// Empty if there is no such key.
  template <remote::argument_for<K> A = K>
  auto get(A&& key) const {
    return this->template asked_with<K>(remote::to_optional<V>(), method::get, std::forward<A>(key));
  }
  template <remote::argument_for<K> A = K, std::convertible_to<V> B = V>
  auto get(A&& key, B&& fallback) const {
    detail::require_safe_temporary<A, B>();
    return remote_call(this->about(method::get, remote::as<K>(key)),
                       remote::to_value_or<V>{static_cast<V>(std::forward<B>(fallback))});
  }
  /// Throws `remote_error`, `std::out_of_range`, if there is no such key.
  template <remote::argument_for<K> A = K>
  auto at(A&& key) const {
    return this->template asked_with<K>(remote::to_value<V>(), method::at, std::forward<A>(key));
  }
  template <remote::argument_for<K> A = K, remote::argument_for<V> B = V>
  auto set(A&& key, B&& value) const {
    return this->template asked_with<K, V>(remote::to_nothing(), method::set, std::forward<A>(key),
                                           std::forward<B>(value));
  }
  /// The value that is there; puts `value` there first if none is.
  template <remote::argument_for<K> A = K, remote::argument_for<V> B = V>
  auto get_or_set(A&& key, B&& value) const {
    return this->template asked_with<K, V>(remote::to_value<V>(), method::get_or_set, std::forward<A>(key),
                                           std::forward<B>(value));
  }
  /// Whether it was there.
  template <remote::argument_for<K> A = K>
  auto erase(A&& key) const {
    return this->template asked_with<K>(remote::to_flag(), method::erase, std::forward<A>(key));
  }
  template <remote::argument_for<K> A = K>
  auto contains(A&& key) const {
    return this->template asked_with<K>(remote::to_flag(), method::contains, std::forward<A>(key));
  }
  /// Takes the value out. Throws as `at`.
  template <remote::argument_for<K> A = K>
  auto pop(A&& key) const {
    return this->template asked_with<K>(remote::to_value<V>(), method::pop, std::forward<A>(key));
  }
  /// Takes the last pair out. Throws as `at` if there is none.
  auto pop_item() const { return this->asked(remote::to_item<K, V>(), method::pop_any); }
  auto size() const { return this->asked(remote::to_size(), method::size); }
  /// As they are at one moment: copies, which later changes do not reach.
  auto keys() const { return this->asked(remote::to_values<K>(), method::keys); }
  auto values() const { return this->asked(remote::to_values<V>(), method::values); }
  auto items() const { return this->asked(remote::to_items<K, V>(), method::items); }
  /// The pairs one after the other, each as it is when it is asked for: what is set meanwhile is seen. Once
  /// keys have come or gone, the next one throws `remote_error`, `std::runtime_error`. With `at_a_time` they
  /// come in groups of so many, each as it was at one moment.
  generator<std::pair<K, V>> each(std::size_t at_a_time = 1) const {
    return remote::walk<K, std::pair<K, V>, remote::to_items<K, V>>(
        this->object(), method::walk, at_a_time,
        +[](const std::pair<K, V>& item) -> const K& { return item.first; });
  }
  /// Sets all pairs of a range.
  template <std::ranges::sized_range Pairs>
  auto update(Pairs&& pairs) const {
    detail::require_safe_temporary<Pairs>();
    remote::request what(this->object(), method::update);
    what.count(std::ranges::size(pairs));
    for (const auto& [key, value] : pairs) what.value<K>(key).template value<V>(value);
    return remote_call(std::move(what), remote::to_nothing());
  }
  auto clear() const { return this->asked(remote::to_nothing(), method::clear); }

  /// Sets `desired` if the value is `expected`; gives whether it was. An empty `expected` means that there is none, an
  /// empty `desired` that there is to be none.
  template <remote::argument_for<K> A = K, remote::argument_for<std::optional<V>> B = std::optional<V>,
            remote::argument_for<std::optional<V>> C = std::optional<V>>
  auto compare_exchange(A&& key, B&& expected, C&& desired) const {
    detail::require_safe_temporary<A, B, C>();
    remote::request what = this->about(method::compare_exchange, remote::as<K>(key));
    put(what, expected);
    put(what, desired);
    return remote_call(std::move(what), remote::to_flag());
  }
  /// Adds to a number; a missing one is 0. Gives what it was. Integers wrap around.
  template <remote::argument_for<K> A = K>
    requires std::is_arithmetic_v<V>
  auto fetch_add(A&& key, V added) const {
    detail::require_safe_temporary<A>();
    remote::request what = this->about(method::fetch_add, remote::as<K>(key));
    what.count(static_cast<std::uint64_t>(remote::arithmetic_of<V>())).value(added);
    return remote_call(std::move(what), remote::to_value<V>());
  }
  /// `update<f>(key, arguments...)` runs `V f(V, arguments...)` or `void f(V&, arguments...)` in the server, in one step
  /// with nothing in between; a missing value is `V()`. Gives the new value.
  template <auto F, remote::argument_for<K> Key = K, class... A>
  auto update(Key&& key, A&&... arguments) const {
    detail::require_safe_temporary<Key, A...>();
    using entry = remote::update_entry<F>;
    static_assert(std::is_same_v<typename entry::value, V>,
                  "the function's first parameter is the dict's value");
    remote::request what = this->about(method::apply, remote::as<K>(key));
    what.fixed(entry::name());
    entry::put_arguments(what, std::forward<A>(arguments)...);
    return remote_call(std::move(what), remote::to_value<V>());
  }

 private:
  static void put(remote::request& what, const std::optional<V>& value) {
    what.count(value ? 1 : 0);
    if (value) what.value(*value);
  }
};

}  // namespace brood::managed
