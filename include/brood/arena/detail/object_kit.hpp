// object_kit: how the counted objects of the arena are made, opened and named in messages; what every kind shares.
//
// A kind has a number (arena.hpp), an `object_kind` registered in its source file, and a class derived from
// `shared_object` with `kind_number` and two constructors: `(arena&, reference, word& cell)` for a new object, which
// throws nothing of its own, and `(arena&, object_name)` for one that exists.
#pragma once

#include <memory>
#include <utility>

#include "brood/arena/detail/shared_object.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/export.hpp"

namespace brood::detail {

/// A cell of this process, and what it names: both go back, unless they are kept.
class held_cell {
 public:
  /// Throws `arena_full`.
  explicit held_cell(arena& memory) : memory_(memory), cell_(&memory.heap.take_cell()) {}
  ~held_cell() {
    if (cell_ == nullptr) return;
    const std::uint64_t value = cell_->load(std::memory_order_relaxed);
    if (cell_kind(value) == held::block) memory_.heap.release(cell_reference(value), *cell_);
    if (cell_kind(value) == held::object) memory_.heap.drop(cell_reference(value), *cell_);
    memory_.heap.return_cell(*cell_);
  }
  held_cell(const held_cell&) = delete;
  held_cell& operator=(const held_cell&) = delete;

  word& operator*() const noexcept { return *cell_; }
  word* operator->() const noexcept { return cell_; }
  word* keep() noexcept { return std::exchange(cell_, nullptr); }

 private:
  arena& memory_;
  word* cell_;
};

/// A new object of `bytes`, zeroed if `zero`. `prepare(reference)` makes its contents before anybody else can see them.
/// Throws `arena_full`, and what `prepare` throws.
template <class Object, class Prepare>
std::shared_ptr<Object> create_object(arena& memory, std::uint64_t bytes, bool zero, const Prepare& prepare) {
  held_cell cell(memory);
  const reference block = memory.heap.allocate(bytes, Object::kind_number, *cell, held::block, zero);
  prepare(block);
  auto object = std::make_shared<Object>(memory, block, *cell);
  cell.keep();
  remember_object(object);
  return object;
}

/// One that exists. Throws `error` if there is no such object of that kind.
template <class Object>
std::shared_ptr<Object> open_object(arena& memory, object_name name) {
  if (auto known = find_object(name, Object::kind_number)) return std::static_pointer_cast<Object>(known);
  auto object = std::make_shared<Object>(memory, name);
  remember_object(object);
  return object;
}

/// Called in a handler: rethrows `arena_full` and `decode_error` as they are and any other `error` as a `decode_error`.
[[noreturn]] BROOD_API void throw_for_decoder();

/// `open()` for a decoder: an `error` means that the bytes are wrong.
template <class Open>
auto open_decoded(const Open& open) {
  try {
    return open();
  } catch (const error&) {
    throw_for_decoder();
  }
}

BROOD_API const std::shared_ptr<void>& made_too_early() noexcept;
/// Throws `std::logic_error`, saying which mistake it was.
[[noreturn]] BROOD_API void throw_made_too_early();

/// What a handle is that names nothing yet; its object is made at its first use. Marked if there is no shared memory yet,
/// as in a global variable: each process of the family would make one of its own, and nobody would see it.
template <class Object>
std::shared_ptr<Object> no_object_yet() noexcept {
  if (family_memory::exists()) return nullptr;
  return std::shared_ptr<Object>(made_too_early(), nullptr);
}

/// Before the object of such a handle is made. Throws `std::logic_error` if it is marked.
inline void require_no_mark(const std::shared_ptr<void>& handle) {
  if (handle.use_count() != 0) throw_made_too_early();
}

/// Writes the name of the object, which travels with the message.
template <class Archive, class Object>
void save_object(Archive& archive, const std::shared_ptr<Object>& object) {
  const object_name name = object->name();
  travelling_objects::note(object);
  archive(name.block, name.generation);
}

template <class Archive>
object_name load_name(Archive& archive) {
  object_name name;
  archive(name.block, name.generation);
  return name;
}

/// Reads a name and opens the object. Throws `decode_error` if there is no such object of that kind, and `arena_full`.
template <class Object, class Archive>
std::shared_ptr<Object> load_object(Archive& archive) {
  const object_name name = load_name(archive);
  return open_decoded([&] { return open_object<Object>(family_memory::get(), name); });
}

}  // namespace brood::detail
