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

}  // namespace brood::remote
