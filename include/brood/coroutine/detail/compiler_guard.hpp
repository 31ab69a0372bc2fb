// Rejects, at compile time, the arguments that GCC 12 would destroy twice.
//
// Up to version 12 GCC gives every temporary of an expression with a `co_await` a place in the coroutine
// frame, also those that are to be built in place inside another one. The outer object becomes a bitwise copy
// of them, and both are destroyed. Measured with GCC 12.2, whichever way the argument is then passed (by
// value, `const T&`, `T&&`, to a coroutine or a plain function, alone or in front of fluent setters):
//
//   destroyed twice                                   fine
//   f(job{p}), f(job{.path = p}), f({p}), f(job{})    f(name), f(std::move(name)), f(job(name)), f(job())
//   f(std::move(job{p})), f(yes ? job(a) : job(b))    f(make_job()), f([&] { return job{p}; }())
//   f([p] { ... })                                    f([&p] { ... }), f([n = 3] { ... }), f(std::ref(name))
//   co_yield job{p}                                   co_return job{p}
//   job{co_await g()}, std::optional<job>(job{p})     auto operation = f(job{p}); co_await operation;
//   co_await [p]() -> task<> { ... }()                f(class_with_a_constructor{p})
//
// where `job` is an aggregate with a member that has a destructor. As every way of passing is hit, no
// signature can make it safe; and as a prvalue and an xvalue are one type to the called function,
// `std::move(name)` and `make_job()` of such a type are rejected with it. A name is always accepted, and so
// is `moved{name}`. What does not pass through this library (the last two lines on the left, an argument of
// your own coroutine) cannot be seen from here.
//
// Functions whose call is no part of an awaited expression, such as `nursery::start`, need no guard.
#pragma once

#include <type_traits>
#include <utility>

namespace brood {

/// `std::move(name)` for types that GCC 12 has to refuse as rvalues: converts to the value moved out of `name`.
template <class T>
struct moved {
  T& name;
  operator T() const { return std::move(name); }
};
template <class T>
moved(T&) -> moved<T>;

namespace detail {

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
inline constexpr bool destroys_temporaries_twice = true;
#else
inline constexpr bool destroys_temporaries_twice = false;
#endif

template <class T>
concept owning_rvalue =
    !std::is_lvalue_reference_v<T> && !std::is_trivially_destructible_v<std::remove_cvref_t<T>>;

template <class T>
concept owning_aggregate_rvalue = owning_rvalue<T> && std::is_aggregate_v<std::remove_cvref_t<T>>;

/// No trait knows a lambda. One with captures can be neither made from nothing nor assigned, which of other function
/// objects is true only with const or reference members.
template <class T>
concept owning_lambda_rvalue = owning_rvalue<T> && std::is_class_v<std::remove_cvref_t<T>> &&
                               !std::is_default_constructible_v<std::remove_cvref_t<T>> &&
                               !std::is_assignable_v<std::remove_cvref_t<T>&, std::remove_cvref_t<T>>;

/// For values. `T` is what `T&&` was deduced as: a function that is awaited takes its arguments as forwarding references
/// and begins with this.
template <class... T>
constexpr void require_safe_temporary() noexcept {
  static_assert(
      !(destroys_temporaries_twice && (owning_aggregate_rvalue<T> || ...)),
      "brood: GCC 12 destroys an aggregate temporary in a co_await expression twice; give it a name and pass "
      "the name (`job item{...}; co_await q.put(item);`) or brood::moved{item} in the place of std::move(item), "
      "which nobody can tell from a temporary; or give the type a constructor and call that; GCC 13 and Clang "
      "have no such limit");
}

/// For function objects.
template <class... T>
constexpr void require_safe_function() noexcept {
  static_assert(
      !(destroys_temporaries_twice && (owning_lambda_rvalue<T> || ...)),
      "brood: GCC 12 destroys a lambda with owning captures in a co_await expression twice; capture by "
      "reference, or give the lambda a name and pass the name or std::ref(name); GCC 13 and Clang have no "
      "such limit");
  require_safe_temporary<T...>();
}

}  // namespace detail
}  // namespace brood
