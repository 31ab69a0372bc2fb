// What every handle of an object in a manager is: a counted name that can travel.
#pragma once

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

#include "brood/channel/authkey.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/export.hpp"
#include "brood/manager/detail/remote_call.hpp"
#include "brood/manager/error.hpp"

namespace brood::remote {

/// Where an object is, for those who know nothing yet. The key is there only if it is not the family's.
struct passport {
  std::string address;
  bytes key;
  std::uint64_t instance = 0;
  number id = 0;
};

/// Notes the object for the message, or lends it: it is kept for a minute, in which the handle may arrive.
BROOD_API passport leave(const object_pointer& object, bool& at_home);
BROOD_API std::shared_ptr<client> find_client(const passport& papers);
BROOD_API object_pointer arrive(const passport& papers, std::uint64_t type);
BROOD_API object_pointer arrive_home(number id, std::uint64_t type);
BROOD_API bool is_family_key(const authkey& key);

/// Copies name the same object. Can be an argument and a result of children, and travel in messages and in the objects of
/// its manager. In a message the object is kept for a minute beyond its last handle.
class proxy {
 public:
  proxy() = default;
  explicit proxy(object_pointer object) noexcept : object_(std::move(object)) {}

  friend bool operator==(const proxy& a, const proxy& b) noexcept {
    if (!a.object_ || !b.object_) return a.object_ == b.object_;
    return a.object_->instance == b.object_->instance && a.object_->id == b.object_->id;
  }

 protected:
  const object_pointer& object() const {
    if (!object_) throw object_gone("brood: a handle that names no object");
    return object_;
  }

  object_pointer object_;
};

/// An argument for a value of type `T`. Calls are awaited, so members that take one deduce its type and begin
/// with `require_safe_temporary`.
template <class A, class T>
concept argument_for = std::convertible_to<A&&, const T&>;

/// The argument if it is a `T`, else what it converts to. (A cast, or `-Wconversion` would complain here
/// about the constant 5 for a byte.)
template <class T, class A>
auto as(A& given) -> std::conditional_t<std::convertible_to<A*, const T*>, const T&, T> {
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<std::remove_const_t<A>, T>) {
    return static_cast<T>(given);
  } else {
    return given;
  }
}

/// `Self::type()` is the key of its type.
template <class Self>
class proxy_of : public proxy {
 public:
  using proxy::proxy;

  template <class Archive>
  void save(Archive& archive) const {
    bool at_home = false;
    const passport papers = leave(object(), at_home);
    archive(at_home, papers.id);
    if (!at_home) archive(papers.address, papers.key, papers.instance);
  }
  template <class Archive>
  void load(Archive& archive) {
    bool at_home = false;
    passport papers;
    archive(at_home, papers.id);
    if (!at_home) archive(papers.address, papers.key, papers.instance);
    object_ = at_home ? arrive_home(papers.id, Self::type()) : arrive(papers, Self::type());
  }

 protected:
  /// A call of a method with values.
  template <class Method, class... V>
  request about(Method which, const V&... values) const {
    request what(object(), which);
    (what.value(values), ...);
    return what;
  }
  /// The same of what converts to a `T` each, to be awaited.
  template <class... T, class Finish, class Method, class... A>
  remote_call<Finish> asked_with(Finish finish, Method which, A&&... given) const {
    detail::require_safe_temporary<A...>();
    return asked(std::move(finish), which, as<T>(given)...);
  }
  /// The same, to be awaited; `finish` reads the answer.
  template <class Finish, class Method, class... V>
  remote_call<Finish> asked(Finish finish, Method which, const V&... values) const {
    return {about(which, values...), std::move(finish)};
  }
};

}  // namespace brood::remote
