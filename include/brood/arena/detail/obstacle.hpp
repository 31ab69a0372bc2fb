// What can keep a type from travelling, which types of the standard library it keeps, and how the compiler
// says so.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <typeindex>

namespace brood::detail {

/// Why a type cannot travel.
enum class obstacle {
  none,
  nothing,
  pointer,
  reference_,
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
inline constexpr obstacle named_obstacle<std::reference_wrapper<T>> = obstacle::reference_;
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

/// Instantiated for a type that cannot travel, so that the compiler prints it together with the reason.
template <class T, obstacle Why>
struct cannot_travel {
  static_assert(Why != obstacle::nothing, "brood: void is not a value that can travel");
  static_assert(
      Why != obstacle::pointer,
      "brood: a pointer cannot travel to another process: send the value, or std::unique_ptr of it");
  static_assert(Why != obstacle::reference_,
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
  static_assert(Why != obstacle::not_default_constructible,
                "brood: this class loads itself but cannot be default-constructed first: give it such a "
                "constructor, or "
                "one that takes brood::to_be_loaded");
  static_assert(
      Why != obstacle::immovable,
      "brood: this type cannot travel, it can be neither copied nor moved (a mutex, an atomic, a thread's "
      "state)");
  static_assert(Why != obstacle::unknown_class,
                "brood: this class cannot travel, it is neither an aggregate nor trivially copyable: give it "
                "serialize, or save (const) and load");
  static constexpr bool reported = true;
};

}  // namespace brood::detail
