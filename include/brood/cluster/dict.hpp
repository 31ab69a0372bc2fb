// dict<K, V>: keys and values in the engine.
#pragma once

#include <charconv>
#include <concepts>
#include <type_traits>
#include <utility>

#include "brood/cluster/detail/membership.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/generator.hpp"

namespace brood::cluster {

/// A small handle: every one made with the same name in the cluster names the same dict, which outlives them. Every
/// member is one request and one step; what changes something is carried out once, whatever breaks meanwhile. Keys and
/// values are compared by their encodings; integers are written as text, so that the engine can add to them.
/// No code of the program runs in the engine: what depends on the value that is there is a loop with `compare_exchange`.
/// Cancellation: a change may have happened. All throw `engine_unavailable` and `engine_refused`.
template <class K, class V>
class dict {
  using core = detail::dict_core;
  using text = std::optional<std::string>;

 public:
  explicit dict(core::pointer of) noexcept : core_(std::move(of)) {}

  /// Empty if there is no such key.
  [[nodiscard]] task<std::optional<V>> get(const K& key) const {
    return to_value(core::get(core_, written(key)));
  }
  [[nodiscard]] task<> set(const K& key, const V& value) const {
    return core::set(core_, written(key), written(value));
  }
  /// The value that is there; puts `value` there first if none is.
  [[nodiscard]] task<V> get_or_set(const K& key, const V& value) const {
    return to_read<V>(core::get_or_set(core_, written(key), written(value)));
  }
  /// Whether it was there.
  [[nodiscard]] task<bool> erase(const K& key) const { return core::erase(core_, written(key)); }
  [[nodiscard]] task<bool> contains(const K& key) const { return to_flag(core::get(core_, written(key))); }
  /// Takes the value out; empty if there is none.
  [[nodiscard]] task<std::optional<V>> pop(const K& key) const {
    return to_value(core::pop(core_, written(key)));
  }
  [[nodiscard]] task<std::uint64_t> size() const { return core::size(core_); }
  [[nodiscard]] task<> clear() const { return core::clear(core_); }

  /// Sets `desired` if the value is `expected`; gives whether it was. An empty `expected` means that there is none, an
  /// empty `desired` that there is to be none.
  [[nodiscard]] task<bool> compare_exchange(const K& key, const std::optional<V>& expected,
                                            const std::optional<V>& desired) const {
    return core::exchange(core_, written(key), written(expected), written(desired));
  }
  /// Adds to an integer; a missing one is 0. Gives what it was. Throws `engine_refused` if the sum is no 64-bit number.
  [[nodiscard]] task<V> fetch_add(const K& key, V added) const
    requires std::signed_integral<V>
  {
    return before_adding(core::add(core_, written(key), written(added)), added);
  }

  /// The pairs, in no order. Those that are there all the time come once at least; those that come or go meanwhile may come.
  generator<std::pair<K, V>> each() const { return walk(core_); }

 private:
  template <class T>
  static constexpr bool as_number = std::integral<T> && !std::same_as<T, bool>;

  template <class T>
  static std::string written(const T& value) {
    if constexpr (as_number<T>) {
      return std::to_string(value);
    } else {
      const bytes encoded = encode(value);
      return {reinterpret_cast<const char*>(encoded.data()), encoded.size()};
    }
  }
  static text written(const std::optional<V>& value) { return value ? text(written(*value)) : text(); }

  template <class T>
  static T read(const std::string& from) {
    if constexpr (as_number<T>) {
      T value{};
      const auto [end, wrong] = std::from_chars(from.data(), from.data() + from.size(), value);
      if (wrong != std::errc() || end != from.data() + from.size())
        throw decode_error("no such number: " + from);
      return value;
    } else {
      return decode<T>(std::as_bytes(std::span(from)));
    }
  }

  static task<std::optional<V>> to_value(task<text> asked) {
    const text found = co_await std::move(asked);
    if (!found) co_return std::nullopt;
    co_return std::optional<V>(read<V>(*found));
  }
  template <class T>
  static task<T> to_read(task<std::string> asked) {
    const std::string found = co_await std::move(asked);
    co_return read<T>(found);
  }
  static task<bool> to_flag(task<text> asked) {
    const text found = co_await std::move(asked);
    co_return found.has_value();
  }
  static task<V> before_adding(task<std::string> asked, V added) {
    const std::string sum = co_await std::move(asked);
    co_return static_cast<V>(read<std::int64_t>(sum) - added);
  }
  static generator<std::pair<K, V>> walk(core::pointer of) {
    std::string cursor = "0";
    do {
      auto some = co_await core::walk(of, cursor);
      cursor = some.cursor;
      for (const auto& [key, value] : some.pairs) {
        std::pair<K, V> both(read<K>(key), read<V>(value));
        co_yield std::move(both);
      }
    } while (cursor != "0");
  }

  core::pointer core_;
};

}  // namespace brood::cluster
