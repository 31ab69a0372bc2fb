// How many fields a plain aggregate has, and of which types, without a macro.
//
// The number is found by asking how many initialisers of a type that converts to anything the aggregate
// takes. Braces around an inner class may not be left out for such initialisers, but those around an array
// may: `int a[3]` takes three. So arrays are looked for and counted as one.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "brood/arena/detail/unpack.hpp"

namespace brood::detail {

template <class... T>
struct type_list {
  static constexpr std::size_t size = sizeof...(T);
};

struct anything {
  template <class T>
  operator T() const noexcept;
};

/// Converts to the proper base classes of `Derived`.
template <class Derived>
struct any_base_of {
  template <class Base>
    requires(std::is_base_of_v<Base, Derived> && !std::is_same_v<Base, Derived>)
  operator Base() const noexcept;
};

template <class T>
concept has_base_class = requires { T{any_base_of<T>{}}; };

template <std::size_t>
using anything_at = anything;

template <class T, std::size_t... i>
constexpr bool takes(std::index_sequence<i...>) {
  return requires { T{anything_at<i>{}...}; };
}
template <class T, std::size_t... i, std::size_t... j>
constexpr bool takes(std::index_sequence<i...>, std::index_sequence<j...>) {
  return requires { T{anything_at<i>{}..., {}, anything_at<j>{}...}; };
}

/// Whether `T{anything, ...}` compiles with `n` of them.
template <class T, std::size_t n>
inline constexpr bool takes_initialisers = takes<T>(std::make_index_sequence<n>());

/// Whether `T{anything, ..., {}, anything, ...}` compiles with so many of them before and after the braces.
template <class T, std::size_t before, std::size_t after>
inline constexpr bool takes_braces =
    takes<T>(std::make_index_sequence<before>(), std::make_index_sequence<after>());

/// The largest n up to `highest` for which `Accepts<n>()`, given that it holds up to some n and not beyond.
template <std::size_t low, std::size_t highest, class Accepts>
constexpr std::size_t last_accepted(Accepts accepts) {
  if constexpr (low == highest) {
    return low;
  } else {
    constexpr std::size_t middle = low + (highest - low + 1) / 2;
    if constexpr (accepts.template operator()<middle>()) {
      return last_accepted<middle, highest>(accepts);
    } else {
      return last_accepted<low, middle - 1>(accepts);
    }
  }
}

/// Doubles the bound first, so that a class with a few fields is asked a few times only.
template <std::size_t highest, std::size_t bound = 8, class Accepts>
constexpr std::size_t search(Accepts accepts) {
  if constexpr (bound >= highest) {
    return last_accepted<0, highest>(accepts);
  } else if constexpr (accepts.template operator()<bound>()) {
    return search<highest, bound * 2>(accepts);
  } else {
    return last_accepted<0, bound>(accepts);
  }
}

/// Initialisers with the braces of arrays left out.
template <class T, std::size_t n = most_fields + 1>
constexpr std::size_t count_initialisers() {
  if constexpr (takes_initialisers<T, 0>) {
    // Bit-fields are the only ones of which a byte holds several.
    return search<sizeof(T) * 8>([]<std::size_t k>() { return takes_initialisers<T, k>; });
  } else if constexpr (n == 0 || takes_initialisers<T, n>) {
    return n;  // not every field may be left out: from above, one by one
  } else {
    return count_initialisers<T, n - 1>();
  }
}

/// How many initialisers the field after the first `before` takes: more than one for an array. In braces of
/// its own an array counts once, so that fewer fit after it than otherwise would.
template <class T, std::size_t before, std::size_t total>
constexpr std::size_t initialisers_of_field() {
  if constexpr (!takes_initialisers<T, 0> || !takes_braces<T, before, 0>) {
    return 1;
  } else if constexpr (takes_braces<T, before, total - before - 1>) {
    return 1;
  } else {
    return total - before -
           search<total - before - 1>([]<std::size_t k>() { return takes_braces<T, before, k>; });
  }
}

template <class T, std::size_t total, std::size_t before = 0, std::size_t fields = 0>
constexpr std::size_t count_fields() {
  if constexpr (before >= total || fields > most_fields) {
    return fields;
  } else {
    return count_fields<T, total, before + initialisers_of_field<T, before, total>(), fields + 1>();
  }
}

/// `most_fields + 1` stands for any larger number.
template <class T>
inline constexpr std::size_t field_count = count_fields<T, count_initialisers<T>()>();

template <class T>
constexpr auto list_fields([[maybe_unused]] T& object) {
  if constexpr (field_count<T> == 0) {
    return type_list<>();
  } else {
    return unpack<field_count<T>>(object, []<class... F>(const auto&...) { return type_list<F...>(); });
  }
}

/// The declared types of the fields, as a `type_list`. Only for aggregates without bases, with at most
/// `most_fields`.
template <class T>
using fields_of = decltype(list_fields(std::declval<T&>()));

}  // namespace brood::detail
