// managed::semaphore: permits in a manager.
#pragma once

#include <cstdint>
#include <optional>

#include "brood/manager/lock.hpp"

namespace brood::managed {

/// Holds one permit. Moves only; the destructor gives it back.
class permit : public hold {
 public:
  permit() = default;
  permit(permit&&) noexcept = default;
  permit& operator=(permit&& other) noexcept {
    release();
    hold::operator=(std::move(other));
    return *this;
  }
  ~permit() { release(); }
  void release() noexcept { give_back(remote::semaphore_method::give_back); }

 private:
  friend class semaphore;
  using hold::hold;
};

/// First come first served. The permits of one that dies or loses its connection come back.
class semaphore : public remote::proxy_of<semaphore> {
  using method = remote::semaphore_method;

 public:
  using proxy_of::proxy_of;
  static std::uint64_t type() { return remote::type_key<>(remote::kind::semaphore); }

  /// Waits for a permit.
  auto acquire() const { return remote_call(about(method::acquire), to_permit(), &release_permit); }
  /// An empty optional if there is none.
  auto try_acquire() const {
    return remote_call(about(method::try_acquire), to_optional_permit(), &release_if_held);
  }
  /// Adds permits that nobody holds. Throws `remote_error`, `std::overflow_error`, beyond the first value of a bounded one.
  auto release(std::size_t count = 1) const {
    remote::request what = about(method::release);
    what.count(count);
    return remote_call(std::move(what), remote::to_nothing());
  }
  auto value() const { return remote_call(about(method::value), remote::to_size()); }

 private:
  static permit guard(remote::answer_reader& from) { return permit(from.target(), from.count()); }
  struct to_permit {
    permit operator()(remote::answer_reader& from) const { return guard(from); }
  };
  struct to_optional_permit {
    std::optional<permit> operator()(remote::answer_reader& from) const {
      if (!from.flag()) return std::nullopt;
      return guard(from);
    }
  };

  remote::request about(method which) const { return remote::request(object(), which); }
  static void release_permit(const remote::request& asked, std::span<const std::byte> body) {
    remote::answer_reader from(asked, body);
    guard(from).release();
  }
  static void release_if_held(const remote::request& asked, std::span<const std::byte> body) {
    remote::answer_reader from(asked, body);
    if (from.flag()) guard(from).release();
  }
};

}  // namespace brood::managed
