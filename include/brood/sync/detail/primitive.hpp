// primitive: what the objects of this storey have in common: a state in one block, and small handles that
// travel.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <utility>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/object_kit.hpp"
#include "brood/arena/family_memory.hpp"

namespace brood::detail {

/// This process's reference to an object whose whole state is one block, zeroed when it is made.
template <class State>
class primitive : public shared_object {
 public:
  using state_type = State;

  primitive(arena& memory, reference block, std::uint8_t kind, word& cell)
      : shared_object(memory, block, kind, cell), state_(&memory.map.state_at<State>(block)) {}
  primitive(arena& memory, object_name name, std::uint8_t kind)
      : shared_object(memory, name, kind), state_(&memory.map.state_at<State>(name.block)) {}

 protected:
  State& state() const noexcept { return *state_; }

 private:
  State* state_;
};

/// A new object. `prepare(State&)` before anyone else can see it. Throws `arena_full`.
template <class Core, class Prepare>
std::shared_ptr<Core> create_primitive(arena& memory, const Prepare& prepare) {
  using state = typename Core::state_type;
  return create_object<Core>(memory, sizeof(state), true,
                             [&](reference block) { prepare(memory.map.state_at<state>(block)); });
}

/// A handle: copies name the same object, in this process, in others and inside messages. `Derived` has
/// `std::shared_ptr<Core> make() const`, called at the first use of a handle that names nothing yet.
template <class Derived, class Core>
class shared_handle {
 public:
  friend bool operator==(const Derived& a, const Derived& b) { return a.core() == b.core(); }

  template <class Archive>
  void save(Archive& archive) const {
    save_object(archive, core());
  }
  /// Throws `decode_error` if the bytes name no object of this kind.
  template <class Archive>
  void load(Archive& archive) {
    core_ = load_object<Core>(archive);
  }

 protected:
  shared_handle() : core_(no_object_yet<Core>()) {}
  explicit shared_handle(std::shared_ptr<Core> core) noexcept : core_(std::move(core)) {}
  shared_handle(const shared_handle& other) : core_(other.core()) {}
  // One that was moved from names the object still: it would make another one at its next use, and nobody would see it.
  shared_handle(shared_handle&& other) noexcept : core_(other.core_) {}
  shared_handle& operator=(const shared_handle& other) {
    core_ = other.core();
    return *this;
  }
  shared_handle& operator=(shared_handle&& other) noexcept {
    core_ = other.core_;
    return *this;
  }
  ~shared_handle() = default;

  const std::shared_ptr<Core>& core() const {
    if (core_ == nullptr) {
      require_no_mark(core_);
      core_ = static_cast<const Derived&>(*this).make();
    }
    if (core_->is_gone()) [[unlikely]]
      shared_object::throw_gone();
    return core_;
  }

 private:
  mutable std::shared_ptr<Core> core_;
};

}  // namespace brood::detail
