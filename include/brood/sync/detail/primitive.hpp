// primitive: what the objects of this storey have in common: a state in one block, and small handles that
// travel.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <utility>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/shared_object.hpp"
#include "brood/arena/family_memory.hpp"

namespace brood::detail {

template <class State>
State& state_of(arena& memory, reference block) noexcept {
  return *reinterpret_cast<State*>(memory.base() + std::uint64_t{block} * granule + sizeof(block_header));
}

/// This process's reference to an object whose whole state is one block, zeroed when it is made.
template <class State>
class primitive : public shared_object {
 public:
  using state_type = State;

  primitive(arena& memory, reference block, std::uint8_t kind, word& cell)
      : shared_object(memory, block, kind, cell), state_(&state_of<State>(memory, block)) {}
  primitive(arena& memory, object_name name, std::uint8_t kind)
      : shared_object(memory, name, kind), state_(&state_of<State>(memory, name.block)) {}

 protected:
  State& state() const noexcept { return *state_; }

 private:
  State* state_;
};

/// A new object. `prepare(State&)` before anyone else can see it. Throws `arena_full`.
template <class Core, class Prepare>
std::shared_ptr<Core> create_primitive(arena& memory, const Prepare& prepare) {
  word& cell = memory.take_cell();
  std::shared_ptr<Core> core;
  try {
    const reference block =
        memory.allocate(sizeof(typename Core::state_type), Core::kind_number, cell, held::block, true);
    prepare(state_of<typename Core::state_type>(memory, block));
    core = std::make_shared<Core>(memory, block, cell);
  } catch (...) {
    if (const std::uint64_t value = cell.load(); value != 0) memory.release(cell_reference(value), cell);
    memory.return_cell(cell);
    throw;
  }
  remember_object(core);
  return core;
}

/// One that exists. Throws `error` if there is no such object of that kind.
template <class Core>
std::shared_ptr<Core> open_primitive(arena& memory, object_name name) {
  if (auto known = std::dynamic_pointer_cast<Core>(find_object(name))) return known;
  auto core = std::make_shared<Core>(memory, name);
  remember_object(core);
  return core;
}

/// A handle: copies name the same object, in this process, in others and inside messages. `Derived` has
/// `std::shared_ptr<Core> make() const`, called at the first use of a handle that names nothing yet.
template <class Derived, class Core>
class shared_handle {
 public:
  friend bool operator==(const Derived& a, const Derived& b) { return a.core() == b.core(); }

  template <class Archive>
  void save(Archive& archive) const {
    const object_name name = core()->name();
    travelling_objects::note(core_);
    archive(name.block, name.generation);
  }
  /// Throws `decode_error` if the bytes name no object of this kind.
  template <class Archive>
  void load(Archive& archive) {
    object_name name;
    archive(name.block, name.generation);
    try {
      core_ = open_primitive<Core>(family_memory::get(), name);
    } catch (const arena_full&) {
      throw;
    } catch (const error& wrong) {
      throw decode_error(wrong.what());
    }
  }

 protected:
  shared_handle() = default;
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
    if (core_ == nullptr) core_ = static_cast<const Derived&>(*this).make();
    if (core_->is_gone()) throw error("brood: the shared memory this handle names is gone");
    return core_;
  }

 private:
  mutable std::shared_ptr<Core> core_;
};

}  // namespace brood::detail
