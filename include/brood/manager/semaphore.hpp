// managed::semaphore: permits in a manager.
#pragma once

#include <cstdint>

#include "brood/manager/detail/hold.hpp"

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
  friend struct remote::to_guard<permit>;
  friend struct remote::to_optional_guard<permit>;
  using hold::hold;
  static permit read(remote::answer_reader& from) { return permit(from.target(), from.count()); }
};

/// First come first served. The permits of one that dies or loses its connection come back.
class semaphore : public remote::proxy_of<semaphore> {
  using method = remote::semaphore_method;

 public:
  using proxy_of::proxy_of;
  static std::uint64_t type() { return remote::type_key<>(remote::kind::semaphore); }

  /// Waits for a permit.
  auto acquire() const {
    return remote_call(about(method::acquire), acquired(), &remote::give_back<acquired>);
  }
  /// An empty optional if there is none.
  auto try_acquire() const {
    return remote_call(about(method::try_acquire), perhaps_acquired(), &remote::give_back<perhaps_acquired>);
  }
  /// Adds permits that nobody holds. Throws `remote_error`, `std::overflow_error`, beyond the first value of a bounded one.
  auto release(std::size_t count = 1) const {
    remote::request what = about(method::release);
    what.count(count);
    return remote_call(std::move(what), remote::to_nothing());
  }
  auto value() const { return asked(remote::to_size(), method::value); }

 private:
  using acquired = remote::to_guard<permit>;
  using perhaps_acquired = remote::to_optional_guard<permit>;
};

}  // namespace brood::managed
