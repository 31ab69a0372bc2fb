// Which types can travel, how each is encoded, and what stands in the way of those that cannot.
#pragma once

#include <array>
#include <bitset>
#include <coroutine>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <typeindex>

#include "brood/arena/detail/aggregate.hpp"
#include "brood/arena/detail/memory_archive.hpp"

namespace brood::detail {

/// Encoding of a standard library type: a specialisation has `parts`, the `type_list` of the types it is made
/// of, `least()`, the least number of bytes of an encoding (at least one), `write` and `read`.
template <class T>
struct standard_codec;

template <class T>
concept standard_type = requires { typename standard_codec<T>::parts; };

template <class T>
concept saves_itself = (std::is_class_v<T> || std::is_union_v<T>) &&
                       cereal::traits::is_output_serializable<T, output_archive>::value;
template <class T>
concept loads_itself = (std::is_class_v<T> || std::is_union_v<T>) &&
                       cereal::traits::is_input_serializable<T, input_archive>::value;

/// Why a type cannot travel.
enum class obstacle {
  none,
  nothing,
  pointer,
  reference,
  view,
  iterator,
  shared_pointer,
  polymorphic_pointer,
  deleter,
  function,
  exception_pointer,
  address_inside,
  unbounded_array,
  union_,
  base_class,
  many_fields,
  uncountable_fields,
  not_buildable,
  half_codec,
  not_default_constructible,
  immovable,
  unknown_class,
};

template <class T>
inline constexpr obstacle named_obstacle = obstacle::none;
template <class C, class Traits>
inline constexpr obstacle named_obstacle<std::basic_string_view<C, Traits>> = obstacle::view;
template <class T, std::size_t n>
inline constexpr obstacle named_obstacle<std::span<T, n>> = obstacle::view;
template <class T>
inline constexpr obstacle named_obstacle<std::initializer_list<T>> = obstacle::view;
template <class T>
inline constexpr obstacle named_obstacle<std::reference_wrapper<T>> = obstacle::reference;
template <class T>
inline constexpr obstacle named_obstacle<std::shared_ptr<T>> = obstacle::shared_pointer;
template <class T>
inline constexpr obstacle named_obstacle<std::weak_ptr<T>> = obstacle::shared_pointer;
template <class T, class Deleter>
inline constexpr obstacle named_obstacle<std::unique_ptr<T, Deleter>> = obstacle::deleter;
template <class T>
inline constexpr obstacle named_obstacle<std::unique_ptr<T[]>> = obstacle::unbounded_array;
template <class T>
inline constexpr obstacle named_obstacle<std::unique_ptr<T>> =
    std::is_polymorphic_v<T> && !std::is_final_v<T> ? obstacle::polymorphic_pointer : obstacle::none;
template <class F>
inline constexpr obstacle named_obstacle<std::function<F>> = obstacle::function;
template <>
inline constexpr obstacle named_obstacle<std::exception_ptr> = obstacle::exception_pointer;
template <class P>
inline constexpr obstacle named_obstacle<std::coroutine_handle<P>> = obstacle::address_inside;
template <>
inline constexpr obstacle named_obstacle<std::error_code> = obstacle::address_inside;
template <>
inline constexpr obstacle named_obstacle<std::error_condition> = obstacle::address_inside;
template <>
inline constexpr obstacle named_obstacle<std::type_index> = obstacle::address_inside;

/// Numbers, __int128 among them, which the standard's traits do not know.
template <class T>
concept scalar =
    std::is_arithmetic_v<T> || std::is_enum_v<T> ||
    (std::is_trivially_copyable_v<T> && !std::is_class_v<T> && !std::is_union_v<T> && !std::is_array_v<T> &&
     !std::is_pointer_v<T> && !std::is_member_pointer_v<T> && !std::is_null_pointer_v<T>);

template <class T>
concept plain_aggregate = std::is_class_v<T> && std::is_aggregate_v<T>;

/// A class that lets nobody see its members, but says that its bytes are all there is to it.
template <class T>
concept opaque_value = std::is_class_v<T> && !std::is_aggregate_v<T> && std::is_trivially_copyable_v<T> &&
                       std::is_move_constructible_v<T>;

template <class T>
concept plain_function_object = requires { &T::operator(); };

template <class Offender, obstacle Why>
struct offence {
  using offender = Offender;
  static constexpr obstacle why = Why;
};
using no_offence = offence<void, obstacle::none>;

template <class T, class... Path>
constexpr auto diagnose();

template <class... Path>
constexpr auto first_offence(type_list<>, type_list<Path...>) {
  return no_offence();
}
template <class First, class... Rest, class... Path>
constexpr auto first_offence(type_list<First, Rest...>, type_list<Path...> path) {
  using found = decltype(diagnose<First, Path...>());
  if constexpr (found::why != obstacle::none) {
    return found();
  } else {
    return first_offence(type_list<Rest...>(), path);
  }
}

template <class T, class... F>
constexpr bool buildable(type_list<F...>) {
  if constexpr ((std::is_array_v<F> || ...)) {
    return std::default_initializable<T>;
  } else {
    return requires { T{std::declval<std::remove_cv_t<F> (&)()>()()...}; };
  }
}

template <class T, class... Path>
constexpr auto diagnose_aggregate() {
  if constexpr (has_base_class<T>) {
    return offence<T, obstacle::base_class>();
  } else if constexpr (field_count<T> == 0 && !std::is_empty_v<T>) {
    return offence<T, obstacle::uncountable_fields>();
  } else if constexpr (field_count<T> > most_fields) {
    return offence<T, obstacle::many_fields>();
  } else {
    using found = decltype(first_offence(fields_of<T>(), type_list<T, Path...>()));
    if constexpr (found::why != obstacle::none || std::is_trivially_copyable_v<T> ||
                  buildable<T>(fields_of<T>())) {
      return found();
    } else {
      return offence<T, obstacle::not_buildable>();
    }
  }
}

template <class T>
constexpr auto diagnose_class() {
  if constexpr (saves_itself<T> != loads_itself<T>) {
    return offence<T, obstacle::half_codec>();
  } else if constexpr (saves_itself<T>) {
    return offence<T, std::default_initializable<T> ? obstacle::none : obstacle::not_default_constructible>();
  } else if constexpr (opaque_value<T>) {
    if constexpr (std::input_or_output_iterator<T>) {
      return offence<T, obstacle::iterator>();
    } else {
      return offence<T, plain_function_object<T> ? obstacle::function : obstacle::none>();
    }
  } else if constexpr (!std::is_move_constructible_v<T>) {
    return offence<T, obstacle::immovable>();
  } else {
    return offence<T, obstacle::unknown_class>();
  }
}

/// The first type inside `T` that cannot travel. `Path` are the types `T` was found in; one that comes again,
/// as in a tree, is judged where it came first.
template <class T, class... Path>
constexpr auto diagnose() {
  using U = std::remove_cv_t<T>;
  if constexpr ((std::is_same_v<U, Path> || ...)) {
    return no_offence();
  } else if constexpr (std::is_void_v<U>) {
    return offence<T, obstacle::nothing>();
  } else if constexpr (std::is_reference_v<U>) {
    return offence<T, obstacle::reference>();
  } else if constexpr (std::is_function_v<std::remove_pointer_t<U>>) {
    return offence<T, obstacle::function>();
  } else if constexpr (std::is_pointer_v<U> || std::is_member_pointer_v<U> || std::is_null_pointer_v<U>) {
    return offence<T, obstacle::pointer>();
  } else if constexpr (std::is_unbounded_array_v<U>) {
    return offence<T, obstacle::unbounded_array>();
  } else if constexpr (std::is_array_v<U>) {
    return diagnose<std::remove_extent_t<U>, Path...>();
  } else if constexpr (named_obstacle<U> != obstacle::none) {
    return offence<U, named_obstacle<U>>();
  } else if constexpr (standard_type<U>) {
    return first_offence(typename standard_codec<U>::parts(), type_list<U, Path...>());
  } else if constexpr (scalar<U>) {
    return no_offence();
  } else if constexpr (saves_itself<U> || loads_itself<U>) {
    return diagnose_class<U>();
  } else if constexpr (std::is_union_v<U>) {
    return offence<U, obstacle::union_>();
  } else if constexpr (!std::is_move_constructible_v<U> && !std::is_aggregate_v<U>) {
    return offence<U, obstacle::immovable>();
  } else if constexpr (plain_aggregate<U>) {
    return diagnose_aggregate<U, Path...>();
  } else {
    return diagnose_class<U>();
  }
}

template <class T>
using diagnosis = decltype(diagnose<T>());

/// Instantiated for a type that cannot travel, so that the compiler prints it together with the reason.
template <class T, obstacle Why>
struct cannot_travel {
  static_assert(Why != obstacle::nothing, "brood: void is not a value that can travel");
  static_assert(
      Why != obstacle::pointer,
      "brood: a pointer cannot travel to another process: send the value, or std::unique_ptr of it");
  static_assert(Why != obstacle::reference,
                "brood: a reference cannot travel to another process: send the value");
  static_assert(
      Why != obstacle::view,
      "brood: a view cannot travel, it owns nothing: send the std::string or std::vector it looks at");
  static_assert(Why != obstacle::iterator,
                "brood: an iterator cannot travel to another process: send the values");
  static_assert(
      Why != obstacle::shared_pointer,
      "brood: std::shared_ptr cannot travel, what it shares would be a copy in the other process: send the "
      "value, std::unique_ptr, or an object of this library that lives in shared memory");
  static_assert(Why != obstacle::polymorphic_pointer,
                "brood: a pointer to a polymorphic class cannot travel, its dynamic type would be lost: use "
                "std::variant, or make the class final");
  static_assert(Why != obstacle::deleter, "brood: std::unique_ptr with a deleter of its own cannot travel");
  static_assert(
      Why != obstacle::function,
      "brood: a function or callable object cannot travel: name the function in the call, as in spawn<f>()");
  static_assert(
      Why != obstacle::exception_pointer,
      "brood: std::exception_ptr cannot travel: throw in the child, its parent gets a remote_error");
  static_assert(Why != obstacle::address_inside,
                "brood: this type cannot travel, it holds an address that means nothing in another process");
  static_assert(Why != obstacle::unbounded_array,
                "brood: an array of unknown size cannot travel: use std::vector");
  static_assert(Why != obstacle::union_,
                "brood: a union cannot travel, it does not say which member it holds: use std::variant");
  static_assert(Why != obstacle::base_class,
                "brood: an aggregate with a base class cannot travel by its fields: give it serialize, or "
                "save and load");
  static_assert(
      Why != obstacle::many_fields,
      "brood: an aggregate of more than 32 fields cannot travel by itself: give it serialize, or group them");
  static_assert(
      Why != obstacle::uncountable_fields,
      "brood: the fields of this aggregate cannot be counted, as a reference cannot travel, nor can what "
      "converts from anything in several ways: give it serialize, or save (const) and load");
  static_assert(
      Why != obstacle::not_buildable,
      "brood: this aggregate cannot be built from its fields: give it serialize, or save (const) and load");
  static_assert(
      Why != obstacle::half_codec,
      "brood: this class can be saved or loaded but not both: give it serialize, or save (const) and load");
  static_assert(
      Why != obstacle::not_default_constructible,
      "brood: this class loads itself but cannot be default-constructed first: give it such a constructor");
  static_assert(
      Why != obstacle::immovable,
      "brood: this type cannot travel, it can be neither copied nor moved (a mutex, an atomic, a thread's "
      "state)");
  static_assert(Why != obstacle::unknown_class,
                "brood: this class cannot travel, it is neither an aggregate nor trivially copyable: give it "
                "serialize, or save (const) and load");
  static constexpr bool reported = true;
};

template <class T>
inline constexpr bool can_travel = diagnosis<T>::why == obstacle::none;

/// Fails to compile, with the reason, where `T` cannot travel.
template <class T>
constexpr void require_codable() {
  if constexpr (!can_travel<T>) {
    static_assert(cannot_travel<typename diagnosis<T>::offender, diagnosis<T>::why>::reported);
  }
}

template <class T>
constexpr bool flat();

template <class... F>
constexpr bool all_flat(type_list<F...>) {
  return sizeof...(F) > 0 && (flat<std::remove_cv_t<F>>() && ...);
}

template <class T>
inline constexpr bool flat_array = false;
template <class T, std::size_t n>
inline constexpr bool flat_array<std::array<T, n>> = n > 0 && flat<T>();

/// Whether a `T` that can travel is encoded as its own bytes, padding included, and any bytes are a valid
/// `T`. Values of an enumeration that no enumerator names count as valid.
template <class T>
constexpr bool flat() {
  if constexpr (std::is_array_v<T>) {
    return flat<std::remove_cv_t<std::remove_extent_t<T>>>();
  } else if constexpr (standard_type<T>) {
    return flat_array<T>;
  } else if constexpr (std::is_enum_v<T>) {
    return !std::is_same_v<std::underlying_type_t<T>, bool>;
  } else if constexpr (scalar<T>) {
    return !std::is_same_v<T, bool>;
  } else if constexpr (saves_itself<T> || !std::is_trivially_copyable_v<T> || std::is_empty_v<T>) {
    return false;
  } else if constexpr (plain_aggregate<T>) {
    return all_flat(fields_of<T>());
  } else {
    return opaque_value<T>;
  }
}

template <class T>
constexpr std::size_t least_size();

template <class... F>
constexpr std::size_t sum_of_least(type_list<F...>) {
  return std::max<std::size_t>(1, (std::size_t{0} + ... + least_size<std::remove_cv_t<F>>()));
}

/// The least number of bytes an encoding of `T` can have. Never 0: what holds nothing takes one byte, so that
/// the number of elements of any container is bounded by the bytes present.
template <class T>
constexpr std::size_t least_size() {
  if constexpr (flat<T>()) {
    return sizeof(T);
  } else if constexpr (std::is_array_v<T>) {
    return std::extent_v<T> * least_size<std::remove_cv_t<std::remove_extent_t<T>>>();
  } else if constexpr (standard_type<T>) {
    return standard_codec<T>::least();
  } else if constexpr (plain_aggregate<T> && !saves_itself<T>) {
    return sum_of_least(fields_of<T>());
  } else {
    return 1;
  }
}

}  // namespace brood::detail
