// What of the user's code a manager may run: classes, their methods, functions for `update`. Nothing else can be called,
// whatever a client sends.
//
// Naming one in `make<T>`, `call<&T::method>` or `update<f>` anywhere in a program makes an object with static storage,
// whose constructor enters it here before `main`: so every process of the program's image knows it, the server too.
// Its name is the mangled one, so two programs that are built from the same declarations agree; others give it a name of
// their own, with `registered_class` and the like.
#pragma once

#include <cstdint>
#include <memory>
#include <tuple>
#include <typeinfo>
#include <utility>

#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/manager/detail/remote_call.hpp"

namespace brood::remote {

class object;
struct registration;
template <class R>
class stream;

/// Reads arguments that a client sent.
class BROOD_API argument_reader {
 public:
  /// `target`: whose method is called, null for none.
  argument_reader(std::shared_ptr<client> home, detail::byte_reader& in, object* target = nullptr)
      : home_(std::move(home)), in_(in), target_(target) {}

  template <class T>
  T value() {
    const std::span<const std::byte> data = take();
    const home_scope scope(home_.get());
    return decode<T>(data);
  }
  void expect_end() const { in_.expect_end(); }
  const std::shared_ptr<client>& home() const noexcept { return home_; }
  /// The objects whose handles were in the arguments.
  const std::vector<number>& numbers() const noexcept { return numbers_; }
  /// Makes an object of the server's out of what a method gave, which keeps the method's object and
  /// arguments. Nothing refers to it until the answer is written. Owns `made` at once.
  number keep(const registration& its_class, void* made, std::uint64_t type);

 private:
  std::span<const std::byte> take();

  std::shared_ptr<client> home_;
  detail::byte_reader& in_;
  std::vector<number> numbers_;
  object* target_;
};

/// One thing that may be called, and how. Lifetime: static.
struct BROOD_API registration {
  enum class what : std::uint8_t { user_class, method, function };

  /// Can be found by its name from now on.
  registration(what kind, std::uint64_t name, const void* its_class) noexcept;
  /// A class that clients cannot make objects of.
  explicit registration(const void* its_class) noexcept : kind(what::user_class), key(0), owner(its_class) {}

  what kind;
  std::uint64_t key;
  const void* owner;  // of a method: its class
  void* (*make)(argument_reader&) = nullptr;
  void (*destroy)(void*) noexcept = nullptr;
  bytes (*call)(void*, argument_reader&) = nullptr;
  task<bytes> (*start)(void*, argument_reader&) = nullptr;  // instead of `call`, for a coroutine
  bytes (*update)(const std::string* present, argument_reader&) = nullptr;
  registration* next = nullptr;

  /// Null if there is none. Throws `call_refused` if two have that name.
  static const registration* find(what kind, std::uint64_t key);
};

template <class M>
struct method_traits;
template <class R, class T, class... A>
struct method_traits<R (T::*)(A...)> {
  using returned = R;
  using arguments = std::tuple<std::remove_cvref_t<A>...>;
};
template <class R, class T, class... A>
struct method_traits<R (T::*)(A...) const> : method_traits<R (T::*)(A...)> {};
template <class R, class T, class... A>
struct method_traits<R (T::*)(A...) noexcept> : method_traits<R (T::*)(A...)> {};
template <class R, class T, class... A>
struct method_traits<R (T::*)(A...) const noexcept> : method_traits<R (T::*)(A...)> {};

template <class T>
struct task_result {
  using type = T;
  static constexpr bool is_task = false;
  static constexpr bool is_stream = false;
};
template <class T>
struct task_result<task<T>> {
  using type = T;
  static constexpr bool is_task = true;
  static constexpr bool is_stream = false;
};
template <class T>
struct task_result<generator<T>> {
  using type = T;
  static constexpr bool is_task = false;
  static constexpr bool is_stream = true;
};

/// What an argument given to `make` travels as.
template <class A>
using traveller =
    std::conditional_t<std::is_convertible_v<std::decay_t<A>, const char*>, std::string, std::decay_t<A>>;

/// Converted here, in the client, to what the function takes: a wrong type fails to compile at the call.
template <class... P, class... A>
void put_parameters(request& what, std::tuple<P...>*, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "brood: the number of arguments is not the function's");
  static_assert((std::is_convertible_v<A&&, P> && ...),
                "brood: an argument does not convert to the function's parameter");
  (what.value<P>(static_cast<const P&>(std::forward<A>(arguments))), ...);
}

template <class... A>
std::tuple<A...> read_arguments(argument_reader& in, std::tuple<A...>*) {
  std::tuple<A...> result{in.value<A>()...};
  in.expect_end();
  return result;
}

/// A class of the user's.
template <class T, class... A>
struct constructor_entry;

template <class T>
struct class_identity {
  static inline const char here = 0;
  static inline std::uint64_t given_name = 0;
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

template <class T, auto Method>
struct method_tag {};

template <class T, auto Method>
struct method_entry {
  using traits = method_traits<decltype(Method)>;
  using returned = typename traits::returned;
  using result = std::remove_cvref_t<typename task_result<returned>::type>;
  using arguments = typename traits::arguments;

  static bytes call(void* object, argument_reader& in) {
    arguments given = read_arguments(in, static_cast<arguments*>(nullptr));
    const auto invoke = [&](auto&... each) -> returned {
      return (static_cast<T*>(object)->*Method)(std::move(each)...);
    };
    bytes out;
    if constexpr (std::is_void_v<result>) {
      std::apply(invoke, given);
    } else {
      put_value<result>(out, in.home().get(), std::apply(invoke, given));
    }
    return out;
  }
  static bytes begin(void* object, argument_reader& in) {
    bytes out;
    stream<result>::begin(
        out, in, walk(static_cast<T*>(object), read_arguments(in, static_cast<arguments*>(nullptr))));
    return out;
  }
  static task<bytes> start(void* object, argument_reader& in) {
    return run(static_cast<T*>(object), read_arguments(in, static_cast<arguments*>(nullptr)), in.home());
  }

  template <class... A>
  static void put_arguments(request& what, A&&... given) {
    put_parameters(what, static_cast<arguments*>(nullptr), std::forward<A>(given)...);
  }
  static void fill(registration& r) noexcept {
    if constexpr (task_result<returned>::is_task) {
      r.start = &start;
    } else if constexpr (task_result<returned>::is_stream) {
      r.call = &begin;
    } else {
      r.call = &call;
    }
  }
  struct entry : registration {
    entry() noexcept
        : registration(what::method, hash_name(typeid(method_tag<T, Method>).name()),
                       &class_identity<T>::here) {
      fill(*this);
    }
  };
  static inline entry node;
  static inline std::uint64_t given_name = 0;
  static std::uint64_t name() noexcept { return given_name != 0 ? given_name : node.key; }

 private:
  static generator<result> walk(T* object, arguments given) {
    auto body = std::apply([&](auto&... each) { return (object->*Method)(std::move(each)...); }, given);
    for (;;) {
      auto value = co_await body.next();
      if (!value) co_return;
      co_yield std::move(*value);
    }
  }
  /// The arguments live as long as the coroutine.
  static task<bytes> run(T* object, arguments given, std::shared_ptr<client> home) {
    auto body = std::apply([&](auto&... each) { return (object->*Method)(std::move(each)...); }, given);
    bytes out;
    if constexpr (std::is_void_v<result>) {
      co_await std::move(body);
    } else {
      const result value = co_await std::move(body);
      put_value<result>(out, home.get(), value);
    }
    co_return out;
  }
};

template <auto F>
struct function_tag {};

template <class F>
struct update_traits;
template <class R, class V, class... A>
struct update_traits<R (*)(V, A...)> {
  using returned = R;
  using value = std::remove_cvref_t<V>;
  using arguments = std::tuple<std::remove_cvref_t<A>...>;
};
template <class R, class V, class... A>
struct update_traits<R (*)(V, A...) noexcept> : update_traits<R (*)(V, A...)> {};

/// A function `V f(V, arguments...)` or `void f(V&, arguments...)` that the server applies to a value.
template <auto F>
struct update_entry {
  using traits = update_traits<std::decay_t<decltype(F)>>;
  using value = typename traits::value;
  using arguments = typename traits::arguments;

  static bytes update(const std::string* present, argument_reader& in) {
    arguments given = read_arguments(in, static_cast<arguments*>(nullptr));
    const home_scope scope(in.home().get());
    value now = present != nullptr ? decode<value>(std::as_bytes(std::span(*present))) : value();
    bytes out;
    std::apply(
        [&](auto&... each) {
          if constexpr (std::is_void_v<typename traits::returned>) {
            F(now, std::move(each)...);
          } else {
            now = F(std::move(now), std::move(each)...);
          }
        },
        given);
    put_value(out, in.home().get(), now);
    return out;
  }
  template <class... A>
  static void put_arguments(request& what, A&&... given) {
    put_parameters(what, static_cast<arguments*>(nullptr), std::forward<A>(given)...);
  }
  static void fill(registration& r) noexcept { r.update = &update; }
  struct entry : registration {
    entry() noexcept : registration(what::function, hash_name(typeid(function_tag<F>).name()), nullptr) {
      fill(*this);
    }
  };
  static inline entry node;
  static inline std::uint64_t given_name = 0;
  static std::uint64_t name() noexcept { return given_name != 0 ? given_name : node.key; }
};

}  // namespace brood::remote
