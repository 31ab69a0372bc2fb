// What runs in a child: a function known at compile time, its arguments decoded, its result encoded.
#pragma once

#include <cstdint>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "brood/arena/codec.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/runtime/sync_wait.hpp"

namespace brood::detail {

/// Runs a function on encoded arguments; gives its encoded result. Calls `decoded` when it has its arguments.
using function_entry = bytes (*)(std::span<const std::byte> arguments, void (*decoded)());

/// The arguments of a child could not be decoded.
class BROOD_API argument_error : public error {
 public:
  using error::error;
};

/// A function by a name that holds in every image of the same program: the module it is in, and where in it.
struct function_token {
  std::uint64_t module = 0;  // hash of the module's build id
  std::uint64_t offset = 0;  // from the module's load address
};

/// The token of a function in this process; throws `unknown_function` if it is in no loaded module.
BROOD_API function_token token_of(function_entry entry);
/// The function of a token in this process; throws `unknown_function`.
BROOD_API function_entry entry_of(function_token token);

template <class F>
struct signature;
template <class R, class... A>
struct signature<R (*)(A...)> {
  using result = R;
  using arguments = std::tuple<std::remove_cvref_t<A>...>;
  static constexpr bool takes_mutable_reference =
      ((std::is_lvalue_reference_v<A> && !std::is_const_v<std::remove_reference_t<A>>) || ...);
};
template <class R, class... A>
struct signature<R (*)(A...) noexcept> : signature<R (*)(A...)> {};

/// Functions, and captureless lambdas by way of their conversion.
template <auto F>
constexpr auto as_function_pointer() {
  if constexpr (std::is_pointer_v<decltype(F)>) {
    return F;
  } else {
    static_assert(
        requires { +F; },
        "brood::spawn runs a function or a captureless lambda that is not generic; what a child is to know "
        "travels as arguments");
    return +F;
  }
}

template <class T>
struct unwrap_task {
  using type = T;
  static constexpr bool is_task = false;
};
template <class T>
struct unwrap_task<task<T>> {
  using type = T;
  static constexpr bool is_task = true;
};

template <class From, class To>
inline constexpr bool loses_fraction = std::is_floating_point_v<From> && std::is_integral_v<To>;

/// The integers that std::in_range takes: neither bool nor characters.
template <class T>
concept plain_integer = std::is_integral_v<T> && requires(T number) { std::in_range<T>(number); };
[[noreturn]] BROOD_API void throw_narrowed();

template <auto F>
struct child_function {
  using pointer = std::remove_const_t<decltype(as_function_pointer<F>())>;
  using arguments = typename signature<pointer>::arguments;
  using returned = typename signature<pointer>::result;
  using result = typename unwrap_task<returned>::type;
  static_assert(!signature<pointer>::takes_mutable_reference,
                "a child gets copies of its arguments: take them by value or by const reference");
  static_assert(!std::is_reference_v<result>, "a child's result must be a value");

  template <class... Given>
  static bytes encode_arguments(Given&&... given) {
    static_assert(sizeof...(Given) == std::tuple_size_v<arguments>,
                  "brood::spawn: the number of arguments is not the function's");
    return encode_as(std::make_index_sequence<sizeof...(Given)>(), std::forward<Given>(given)...);
  }

  [[gnu::hot]] static bytes run(std::span<const std::byte> encoded, void (*decoded)()) {
    return call(encoded, decoded, std::make_index_sequence<std::tuple_size_v<arguments>>());
  }

 private:
  /// Converted here, in the parent, to what the function takes: a wrong type fails to compile at the call.
  template <std::size_t... I, class... Given>
  static bytes encode_as(std::index_sequence<I...>, Given&&... given) {
    return encode(as_parameter<std::tuple_element_t<I, arguments>>(std::forward<Given>(given))...);
  }

  template <class Parameter, class Given>
  static decltype(auto) as_parameter(Given&& given) {
    static_assert(std::is_convertible_v<Given&&, Parameter>,
                  "brood::spawn: an argument does not convert to the function's parameter");
    static_assert(!loses_fraction<std::remove_cvref_t<Given>, Parameter>,
                  "brood::spawn: a floating-point argument would lose its fraction in the function's integer "
                  "parameter: convert it yourself");
    if constexpr (std::is_same_v<std::remove_cvref_t<Given>, Parameter>) {
      return static_cast<const Parameter&>(given);
    } else {
      // What braces ask of types: here the value is at hand.
      if constexpr (plain_integer<std::remove_cvref_t<Given>> && plain_integer<Parameter>) {
        if (!std::in_range<Parameter>(given)) throw_narrowed();
      }
      return static_cast<Parameter>(std::forward<Given>(given));
    }
  }

  template <std::size_t... I>
  static bytes call(std::span<const std::byte> encoded, void (*decoded)(), std::index_sequence<I...>) {
    auto values = decode_arguments<I...>(encoded);
    decoded();
    auto invoke = [&]() -> returned { return as_function_pointer<F>()(std::move(std::get<I>(values))...); };
    if constexpr (unwrap_task<returned>::is_task) {
      if constexpr (std::is_void_v<result>) {
        sync_wait(invoke());
        return {};
      } else {
        return encode(sync_wait(invoke()));
      }
    } else if constexpr (std::is_void_v<result>) {
      invoke();
      return {};
    } else {
      return encode(invoke());
    }
  }

  template <std::size_t... I>
  static arguments decode_arguments(std::span<const std::byte> encoded) {
    try {
      return decode_all<std::tuple_element_t<I, arguments>...>(encoded);
    } catch (const decode_error& e) {
      throw argument_error(e.what());
    }
  }
};

}  // namespace brood::detail
