// Which types can travel, how each is encoded, and which part of a type stands in the way; see obstacle.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <type_traits>

#include "brood/arena/detail/aggregate.hpp"
#include "brood/arena/detail/memory_archive.hpp"
#include "brood/arena/detail/obstacle.hpp"

namespace brood {

/// Passed to the constructor of an object that is about to load itself. For classes without a default
/// constructor, or whose default constructor does more than make room: a handle's may create what it names.
struct to_be_loaded {
  explicit to_be_loaded() = default;
};

}  // namespace brood

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

struct unrelated {};

/// Not what takes anything, and so takes the tag by chance.
template <class T>
concept takes_load_tag = !std::is_aggregate_v<T> && std::constructible_from<T, to_be_loaded> &&
                         !std::constructible_from<T, unrelated>;

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
    return offence<T, takes_load_tag<T> || std::default_initializable<T>
                          ? obstacle::none
                          : obstacle::not_default_constructible>();
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
    return offence<T, obstacle::reference_>();
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
