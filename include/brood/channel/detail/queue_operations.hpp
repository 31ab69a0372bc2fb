// The awaitables of queue<T>: encoding around queue_core.
#pragma once

#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/wait_operation.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/channel/detail/queue_core.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/coroutine/sleep.hpp"

namespace brood {
template <class T>
class lease;
}

namespace brood::detail {

/// Items that are copied into a slot as they are.
template <class T>
inline constexpr bool fits_slot = is_flat<T> && sizeof(T) <= most_inline;
template <class T>
inline constexpr std::size_t inline_bytes_of = fits_slot<T> ? sizeof(T) : most_inline;
/// Items moved at a time by put_many and get_many.
inline constexpr std::size_t batch = 128;

/// An encoded item on its way in.
template <class T>
class put_message {
 public:
  put_message(const queue_core& core, const T& value) {
    if constexpr (fits_slot<T>) {
      std::memcpy(message_, &value, sizeof(T));
    } else {
      message_.fill(core.memory(), core.inline_bytes(),
                    [&value](std::span<std::byte> out) { return encode_into(out, value); });
    }
  }

  put_outcome put(queue_core& core) {
    if constexpr (fits_slot<T>) {
      return core.put_inline({message_, sizeof(T)});
    } else {
      return core.put(message_);
    }
  }

 private:
  std::conditional_t<fits_slot<T>, std::byte[sizeof(T)], outgoing_message> message_;
};

/// An encoded item that was taken.
template <class T>
class got_message {
 public:
  take_outcome take(queue_core& core) {
    if constexpr (fits_slot<T>) {
      return core.take_inline(message_);
    } else {
      return core.take(message_);
    }
  }
  T value() const {
    if constexpr (fits_slot<T>) {
      return decode<T>(message_);
    } else {
      return decode<T>(message_.bytes());
    }
  }

 private:
  std::conditional_t<fits_slot<T>, std::byte[sizeof(T)], incoming_message> message_;
};

template <class T>
class put_awaiter : public wait_operation<put_awaiter<T>> {
 public:
  static constexpr const char* waits_for = "queue put";

  put_awaiter(std::shared_ptr<queue_core> core, put_message<T> message)
      : core_(std::move(core)), message_(std::move(message)) {}
  bool attempt() {
    outcome_ = message_.put(*core_);
    return outcome_ != put_outcome::full;
  }
  bool more() const noexcept { return !core_->is_full() || core_->is_closed(); }
  wait_list& list() const noexcept { return core_->putters(); }
  arena& memory() const noexcept { return core_->memory(); }
  void await_resume() {
    this->take();
    if (outcome_ == put_outcome::closed) throw closed();
  }

 private:
  std::shared_ptr<queue_core> core_;
  put_message<T> message_;
  put_outcome outcome_ = put_outcome::full;
};

template <class T>
class put_operation {
 public:
  put_operation(std::shared_ptr<queue_core> core, const T& value)
      : core_(std::move(core)), message_(*core_, value) {}
  put_awaiter<T> operator co_await() && {
    once_.spend();
    return put_awaiter<T>(std::move(core_), std::move(message_));
  }

 private:
  std::shared_ptr<queue_core> core_;
  put_message<T> message_;
  brood::detail::await_once once_;
};

/// `Optional`: gives an empty optional instead of throwing `closed`.
template <class T, bool Optional>
class get_awaiter : public wait_operation<get_awaiter<T, Optional>> {
 public:
  static constexpr const char* waits_for = "queue get";

  explicit get_awaiter(std::shared_ptr<queue_core> core) : core_(std::move(core)) {}
  bool attempt() {
    outcome_ = message_.take(*core_);
    return outcome_ != take_outcome::empty;
  }
  bool more() const noexcept { return core_->size() != 0; }
  wait_list& list() const noexcept { return core_->getters(); }
  arena& memory() const noexcept { return core_->memory(); }
  std::conditional_t<Optional, std::optional<T>, T> await_resume() {
    this->wait_operation<get_awaiter>::take();
    if (outcome_ == take_outcome::closed) {
      if constexpr (Optional) {
        return std::nullopt;
      } else {
        throw closed();
      }
    }
    return message_.value();
  }

 private:
  std::shared_ptr<queue_core> core_;
  got_message<T> message_;
  take_outcome outcome_ = take_outcome::empty;
};

template <class T, bool Optional>
class get_operation {
 public:
  explicit get_operation(std::shared_ptr<queue_core> core) : core_(std::move(core)) {}
  get_awaiter<T, Optional> operator co_await() && {
    once_.spend();
    return get_awaiter<T, Optional>(std::move(core_));
  }

 private:
  std::shared_ptr<queue_core> core_;
  brood::detail::await_once once_;
};

/// A cell with a lease in it. The destructor gives the message back.
class lease_hold {
 public:
  lease_hold() = default;
  lease_hold(std::shared_ptr<queue_core> core, word& cell)
      : core_(std::move(core)), cell_(&cell), owner_(core_->memory().processes.me()) {}
  lease_hold(lease_hold&& other) noexcept
      : core_(std::move(other.core_)), cell_(std::exchange(other.cell_, nullptr)), owner_(other.owner_) {}
  lease_hold& operator=(lease_hold&& other) noexcept {
    std::swap(core_, other.core_);
    std::swap(cell_, other.cell_);
    std::swap(owner_, other.owner_);
    return *this;
  }
  ~lease_hold() {
    if (!is_ours()) return;
    core_->give_back(*cell_);
    core_->memory().heap.return_cell(*cell_);
  }

  void settle() {
    if (!is_ours()) throw std::logic_error("brood::lease::done: this lease is not held, or done already");
    core_->settle(*cell_);
    core_->memory().heap.return_cell(*std::exchange(cell_, nullptr));
  }
  std::span<const std::byte> bytes() const { return core_->leased_bytes(*cell_); }

 private:
  bool is_ours() const noexcept {
    return cell_ != nullptr && family_memory::exists() && core_->memory().processes.me() == owner_;
  }

  std::shared_ptr<queue_core> core_;
  word* cell_ = nullptr;
  std::uint64_t owner_ = 0;
};

template <class T, bool Optional>
class lease_awaiter : public wait_operation<lease_awaiter<T, Optional>> {
 public:
  static constexpr const char* waits_for = "queue get";

  explicit lease_awaiter(std::shared_ptr<queue_core> core) : core_(std::move(core)) {}
  bool attempt() {
    word* cell = nullptr;
    outcome_ = core_->take_leased(cell);
    if (outcome_ == take_outcome::done) hold_ = lease_hold(core_, *cell);
    return outcome_ != take_outcome::empty;
  }
  bool more() const noexcept { return core_->size() != 0; }
  wait_list& list() const noexcept { return core_->getters(); }
  arena& memory() const noexcept { return core_->memory(); }
  std::conditional_t<Optional, std::optional<lease<T>>, lease<T>> await_resume() {
    this->take();
    if (outcome_ == take_outcome::closed) {
      if constexpr (Optional) {
        return std::nullopt;
      } else {
        throw closed();
      }
    }
    try {
      T value = decode<T>(hold_.bytes());
      return lease<T>(std::move(hold_), std::move(value));
    } catch (const decode_error&) {
      hold_.settle();  // given back it would only come round again
      throw;
    }
  }

 private:
  std::shared_ptr<queue_core> core_;
  lease_hold hold_;
  take_outcome outcome_ = take_outcome::empty;
};

template <class T, bool Optional>
class lease_operation {
 public:
  explicit lease_operation(std::shared_ptr<queue_core> core) : core_(std::move(core)) {}
  lease_awaiter<T, Optional> operator co_await() && {
    once_.spend();
    return lease_awaiter<T, Optional>(std::move(core_));
  }

 private:
  std::shared_ptr<queue_core> core_;
  brood::detail::await_once once_;
};

class join_awaiter : public wait_operation<join_awaiter> {
 public:
  static constexpr const char* waits_for = "queue join";

  explicit join_awaiter(std::shared_ptr<queue_core> core) : core_(std::move(core)) {}
  bool attempt() const noexcept { return core_->all_done(); }
  bool more() const noexcept { return false; }
  wait_list& list() const noexcept { return core_->joiners(); }
  arena& memory() const noexcept { return core_->memory(); }
  void await_resume() { take(); }

 private:
  std::shared_ptr<queue_core> core_;
};

class join_operation {
 public:
  explicit join_operation(std::shared_ptr<queue_core> core) : core_(std::move(core)) {}
  join_awaiter operator co_await() && {
    once_.spend();
    return join_awaiter(std::move(core_));
  }

 private:
  std::shared_ptr<queue_core> core_;
  brood::detail::await_once once_;
};

}  // namespace brood::detail
