// shared_object: this process's counted reference to an object in the arena, and how references travel.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "brood/arena/arena.hpp"
#include "brood/export.hpp"

namespace brood::detail {

/// What a handle sends of itself.
struct object_name {
  reference block = 0;
  std::uint32_t generation = 0;
};

/// One per object and process, however many handles share it (by `std::shared_ptr`): the object counts processes and
/// messages, not copies. The last handle of the last process takes the object apart; a dead process's count is dropped.
/// After a fork the child counts anew what it inherited, in `adopt_slot`.
class BROOD_API shared_object {
 public:
  virtual ~shared_object();
  shared_object(const shared_object&) = delete;
  shared_object& operator=(const shared_object&) = delete;

  object_name name() const noexcept { return name_; }
  std::uint8_t kind() const noexcept { return kind_; }
  arena& memory() const noexcept { return *memory_; }
  /// When the memory went away, after a fork that came too late to count it, and in a fork of the application's own:
  /// nothing of it may be touched.
  bool is_gone() const noexcept { return memory_ == nullptr || memory_->processes.me() == 0; }
  /// Throws `forked_process`, or `error`.
  [[noreturn]] static void throw_gone();

 protected:
  /// A new object: `block` was allocated into `cell` as `held::block`. The cell is this object's once it is made.
  shared_object(arena& memory, reference block, std::uint8_t kind, word& cell);
  /// An object that exists. Throws `error` if there is no such object any more, or never was.
  shared_object(arena& memory, object_name name, std::uint8_t kind);

  /// Gives this process's reference up now instead of in the destructor. Handles that still share this name
  /// nothing; the same object may be opened anew.
  void let_go() noexcept;

 private:
  friend void adopt_objects();
  friend void forget_objects() noexcept;
  void acquire_into(word& cell);

  arena* memory_;
  object_name name_;
  std::uint8_t kind_;
  word* cell_ = nullptr;
};

/// While one lives, opening any object throws `error`: for decoding what another family wrote, where the name of an object
/// is at best nonsense. Scopes nest; the innermost counts.
class BROOD_API decoding_scope {
 public:
  explicit decoding_scope(bool foreign) noexcept;
  ~decoding_scope();
  decoding_scope(const decoding_scope&) = delete;
  decoding_scope& operator=(const decoding_scope&) = delete;

 private:
  bool outer_;
};

/// This process's view of an object of that kind, if it has one. Throws `error` in a foreign `decoding_scope`.
BROOD_API std::shared_ptr<shared_object> find_object(object_name name, std::uint8_t kind);
BROOD_API void remember_object(const std::shared_ptr<shared_object>& object);
/// Whether this process has handles to any object.
BROOD_API bool has_objects() noexcept;
/// After a fork: counts every object this process has handles to once more, for itself.
BROOD_API void adopt_objects();
/// The memory is going away under the handles that are left.
BROOD_API void forget_objects() noexcept;

/// Adds every object this process has handles of, as its kind counts it.
BROOD_API void count_objects(snapshot& counted);

/// A counted reference to an object whatever it is: keeps it in existence, without a handle.
/// For names that came in a message from a process that may be gone a moment later.
class BROOD_API held_reference {
 public:
  /// Empty if there is no such object any more. Throws `arena_full`.
  held_reference(object_name name, std::uint8_t kind);
  held_reference(held_reference&& other) noexcept
      : block_(other.block_), cell_(std::exchange(other.cell_, nullptr)) {}
  held_reference& operator=(held_reference&&) = delete;
  ~held_reference();

 private:
  reference block_;
  word* cell_ = nullptr;
};

/// Gathers the objects whose handles are encoded while it lives, so that the message can hold references to them.
/// Keeps them alive itself too. Scopes nest; the innermost gathers.
class BROOD_API travelling_objects {
 public:
  travelling_objects() noexcept;
  ~travelling_objects();
  travelling_objects(const travelling_objects&) = delete;
  travelling_objects& operator=(const travelling_objects&) = delete;

  const std::vector<std::shared_ptr<shared_object>>& objects() const noexcept { return objects_; }
  void clear() noexcept { objects_.clear(); }

  /// Called by a handle's `save`.
  static void note(std::shared_ptr<shared_object> object);

 private:
  std::vector<std::shared_ptr<shared_object>> objects_;
  travelling_objects* outer_;
};

}  // namespace brood::detail
