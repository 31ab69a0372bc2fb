// The classes of the user's in the registry, by their constructors.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <typeinfo>
#include <utility>
#include <variant>

#include "brood/manager/detail/registry.hpp"

namespace brood::remote {

/// An argument of `make`, as one of a constructor that has a name sees it: that is chosen when the program runs.
class given_argument {
 public:
  template <class A>
  explicit given_argument(const A& value) noexcept : value_(&value), type_(&typeid(A)) {
    if constexpr (std::floating_point<A>) {
      number_ = static_cast<double>(value);
    } else if constexpr (is_integer<A>) {
      number_ = static_cast<std::conditional_t<std::is_signed_v<A>, std::int64_t, std::uint64_t>>(value);
    }
  }

  /// Whether it is an `A`, or unless that must be exact a number that is one without loss.
  template <class A>
  bool fits(bool exactly) const {
    if (exactly || *type_ == typeid(A)) return *type_ == typeid(A);
    if constexpr (std::floating_point<A> || is_integer<A>) {
      return std::visit([](auto n) { return to<A>(n).has_value(); }, number_);
    } else {
      return false;
    }
  }
  /// After `fits`.
  template <class A>
  void put(request& what) const {
    if (*type_ == typeid(A)) {
      what.value<A>(*static_cast<const A*>(value_));
    } else if constexpr (std::floating_point<A> || is_integer<A>) {
      std::visit([&](auto n) { what.value<A>(to<A>(n).value()); }, number_);
    }
  }

 private:
  template <class A>
  static constexpr bool is_integer = std::integral<A> && !std::same_as<A, bool> && !std::same_as<A, char>;

  template <class A, class N>
  static std::optional<A> to(N n) {
    if constexpr (std::same_as<N, std::monostate> || (std::floating_point<N> && std::integral<A>)) {
      return std::nullopt;
    } else {
      const A result = static_cast<A>(n);
      const bool kept =
          std::floating_point<A> || (static_cast<N>(result) == n && (result < A()) == (n < N()));
      return kept ? std::optional(result) : std::nullopt;
    }
  }

  const void* value_;
  const std::type_info* type_;
  std::variant<std::monostate, std::int64_t, std::uint64_t, double> number_;
};

/// A constructor of one class that was given a name.
struct BROOD_API named_constructor {
  std::uint64_t name;
  /// Writes the arguments if the constructor takes them; false if not.
  bool (*put)(std::uint64_t name, request& what, std::span<const given_argument> given, bool exactly);
  const named_constructor* next;

  template <class... A>
  static bool put_as(std::uint64_t name, request& what, std::span<const given_argument> given, bool exactly) {
    if (given.size() != sizeof...(A)) return false;
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      if (!(given[I].template fits<A>(exactly) && ...)) return false;
      what.fixed(name);
      (given[I].template put<A>(what), ...);
      return true;
    }(std::index_sequence_for<A...>());
  }
};

/// Throws `call_refused` if no constructor takes these.
BROOD_API void put_constructor(request& what, const named_constructor* newest,
                               std::span<const given_argument> given);

/// A class of the user's.
template <class T>
struct class_identity {
  static inline const char here = 0;
  static inline std::uint64_t given_name = 0;
  static inline const named_constructor* constructors = nullptr;  // those that were given names
  static std::uint64_t name() noexcept { return given_name != 0 ? given_name : type_key<T>(kind::user); }
};

template <class T, class... A>
struct constructor_tag {};

/// Constructors are told apart by the types of their arguments.
template <class T, class... A>
struct constructor_entry {
  static void* make(argument_reader& in) {
    auto arguments = read_arguments(in, static_cast<std::tuple<A...>*>(nullptr));
    return std::apply([](auto&... each) { return static_cast<void*>(new T(std::move(each)...)); }, arguments);
  }
  static void fill(registration& r) noexcept {
    r.make = &make;
    r.destroy = [](void* object) noexcept { delete static_cast<T*>(object); };
  }
  static std::uint64_t name_for(std::uint64_t of_class) noexcept {
    return hash_name(typeid(constructor_tag<void, A...>).name(), of_class);
  }
  struct entry : registration {
    entry() noexcept
        : registration(what::user_class, name_for(type_key<T>(remote::kind::user)),
                       &class_identity<T>::here) {
      fill(*this);
    }
  };
  static inline entry node;
};

}  // namespace brood::remote
