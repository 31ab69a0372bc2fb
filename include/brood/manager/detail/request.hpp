// A request of a client's: what it names and what it carries.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "brood/export.hpp"
#include "brood/manager/detail/protocol.hpp"

namespace brood::remote {

class client;
class request;

/// This process's hold on one object of a manager; handles share it. Lifetime: with the last of them the hold is given
/// back. Thread: the loop's.
struct BROOD_API reference {
  reference(std::shared_ptr<client> manager, std::uint64_t of_instance, number object,
            std::uint64_t object_type);
  ~reference();
  reference(const reference&) = delete;
  reference& operator=(const reference&) = delete;

  std::shared_ptr<client> home;
  std::uint64_t instance;
  number id;
  std::uint64_t type;       // 0: not known here
  std::uint64_t epoch = 0;  // the connection over which the hold is; 0: none yet
  std::uint64_t grants = 0;
  std::shared_ptr<const request>
      named_by;         // asks for it again from a manager that has come back; null: it has no name
  bool sought = false;  // `named_by` is on its way
};
using object_pointer = std::shared_ptr<reference>;

/// The connection that the object's manager has now; 0 for none.
BROOD_API std::uint64_t present_epoch(const reference& object) noexcept;

/// While one lives, handles of `home`'s objects are encoded as their numbers, gathered here, and decoded
/// as such. Scopes nest; the innermost counts.
class BROOD_API home_scope {
 public:
  explicit home_scope(client* home) noexcept;
  ~home_scope();
  home_scope(const home_scope&) = delete;
  home_scope& operator=(const home_scope&) = delete;

  static home_scope* current() noexcept;
  client* home() const noexcept { return home_; }
  std::vector<object_pointer> objects;

 private:
  client* home_;
  home_scope* outer_;
};

/// Appends a value and the numbers of the objects in it.
BROOD_API void put_encoded(bytes& out, std::span<const std::byte> data,
                           const std::vector<object_pointer>& objects);

/// Gives the objects whose handles are in the value.
template <class T>
std::vector<object_pointer> put_value(bytes& out, client* home, const T& value) {
  if constexpr (is_flat<T>) {
    put_count(out, sizeof(T) << 1);
    put_bytes(out, std::as_bytes(std::span(std::addressof(value), 1)));
    return {};
  } else {
    home_scope scope(home);
    const bytes data = encode(value);
    put_encoded(out, data, scope.objects);
    return std::move(scope.objects);
  }
}

/// A request but for its id; of a call also without its operation and object, whose number may change until it is sent.
class BROOD_API request : public std::enable_shared_from_this<request> {
 public:
  /// A call of an object's method.
  template <class Method>
  request(const object_pointer& target, Method method) : home_(target->home), target_(target) {
    body_.reserve(64);
    put_count(body_, static_cast<std::uint64_t>(method));
  }
  request(std::shared_ptr<client> home, kind what, std::uint64_t type, std::string_view name);
  request(std::shared_ptr<client> home, operation what);

  request& count(std::uint64_t n) & {
    put_count(body_, n);
    return *this;
  }
  /// For indices, which may be negative: zigzag.
  request& index(std::int64_t n) & {
    return count((static_cast<std::uint64_t>(n) << 1) ^ static_cast<std::uint64_t>(n >> 63));
  }
  request& fixed(std::uint64_t n) & {
    put_fixed(body_, n);
    return *this;
  }
  template <class T>
  request& value(const T& v) & {
    auto objects = put_value(body_, home_.get(), v);
    if (!objects.empty()) keep(objects);
    return *this;
  }
  request& raw(std::span<const std::byte> encoded) & {
    put_bytes(body_, encoded);
    return *this;
  }

  const std::shared_ptr<client>& home() const noexcept { return home_; }
  const object_pointer& target() const noexcept { return target_; }
  const bytes& body() const noexcept { return body_; }
  /// Of `create`.
  bool has_name() const noexcept { return has_name_; }
  /// The manager whose objects the values name; 0: they name none.
  std::uint64_t instance() const noexcept { return instance_; }

 private:
  void keep(const std::vector<object_pointer>& objects);

  std::shared_ptr<client> home_;
  object_pointer target_;
  std::vector<object_pointer> kept_;  // so that what the values refer to is there when they arrive
  std::uint64_t instance_ = 0;
  bool has_name_ = false;
  bytes body_;
};

/// Sends a request that wants no answer, if there is a connection.
BROOD_API void post(const request& what) noexcept;

/// Gives back what the object's method granted under this number.
BROOD_API void give_back(const object_pointer& from, std::uint64_t method, std::uint64_t granted) noexcept;

}  // namespace brood::remote
