// This process's counted references, and the register that makes two handles of one object share one of them.
#include "brood/arena/detail/shared_object.hpp"

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/object_kit.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/coroutine/detail/forked.hpp"

#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace brood::detail {
namespace {

struct registered {
  shared_object* object;
  std::weak_ptr<shared_object> handle;
};

/// By block; an object that is taken apart has no handles left, so a block is here at most once.
std::unordered_map<reference, registered>& objects() {
  static std::unordered_map<reference, registered> all;
  return all;
}

thread_local travelling_objects* gathering = nullptr;
thread_local bool decoding_foreign = false;

}  // namespace

shared_object::shared_object(arena& memory, reference block, std::uint8_t kind, word& cell)
    : memory_(&memory), name_{block, memory.heap.generation_of(block)}, kind_(kind) {
  memory.acquire(block, kind, name_.generation, cell);
  objects()[block] = {this, {}};
  cell_ = &cell;
}

shared_object::shared_object(arena& memory, object_name name, std::uint8_t kind)
    : memory_(&memory), name_(name), kind_(kind) {
  held_cell cell(memory);
  acquire_into(*cell);
  objects()[name.block] = {this, {}};
  cell_ = cell.keep();
}

void shared_object::acquire_into(word& cell) {
  if (!memory_->acquire(name_.block, kind_, name_.generation, cell)) {
    throw error("the shared object this handle names does not exist");
  }
}

shared_object::~shared_object() { let_go(); }

void shared_object::throw_gone() {
  if (forked) throw forked_process();
  throw error("brood: the shared memory this handle names is gone");
}

void shared_object::let_go() noexcept {
  if (memory_ != nullptr && memory_->processes.me() == 0)
    return;  // a fork: the register may have been in mid-change
  if (const auto found = objects().find(name_.block);
      found != objects().end() && found->second.object == this) {
    objects().erase(found);
  }
  if (memory_ == nullptr || cell_ == nullptr) return;
  memory_->heap.drop(name_.block, *cell_);
  memory_->heap.return_cell(*std::exchange(cell_, nullptr));
}

std::shared_ptr<shared_object> find_object(object_name name, std::uint8_t kind) {
  if (decoding_foreign) throw error("a handle to shared memory, in a message from another family");
  const auto found = objects().find(name.block);
  if (found == objects().end()) return nullptr;
  const shared_object& known = *found->second.object;
  if (known.name().generation != name.generation || known.kind() != kind) return nullptr;
  return found->second.handle.lock();
}

void count_objects(snapshot& counted) {
  for (auto& [block, entry] : objects()) {
    const auto kept = entry.handle.lock();
    if (kept == nullptr || kept->is_gone()) continue;
    const object_kind* kind = find_object_kind(kept->kind());
    if (kind != nullptr && kind->count != nullptr) kind->count(*kept, counted);
  }
}

void remember_object(const std::shared_ptr<shared_object>& object) {
  objects()[object->name().block].handle = object;
}

decoding_scope::decoding_scope(bool foreign) noexcept : outer_(std::exchange(decoding_foreign, foreign)) {}
decoding_scope::~decoding_scope() { decoding_foreign = outer_; }

[[gnu::hot]] bool has_objects() noexcept { return !objects().empty(); }

held_reference::held_reference(object_name name, std::uint8_t kind) : block_(name.block) {
  arena& memory = family_memory::get();
  held_cell cell(memory);
  if (memory.acquire(name.block, kind, name.generation, *cell)) cell_ = cell.keep();
}

held_reference::~held_reference() {
  if (cell_ == nullptr || !family_memory::self()) return;
  arena& memory = family_memory::get();
  memory.heap.drop(block_, *cell_);
  memory.heap.return_cell(*cell_);
}

void adopt_objects() {
  for (auto& [block, entry] : objects()) {
    entry.object->cell_ = nullptr;
    try {
      held_cell cell(*entry.object->memory_);
      entry.object->acquire_into(*cell);
      entry.object->cell_ = cell.keep();
    } catch (const error&) {
      entry.object->memory_ = nullptr;  // gone before we came; its handles will say so
    }
  }
}

void forget_objects() noexcept {
  for (auto& [block, entry] : objects()) {
    entry.object->memory_ = nullptr;
    entry.object->cell_ = nullptr;
  }
  objects().clear();
}

const std::shared_ptr<void>& made_too_early() noexcept {
  static int owned = 0;
  static const std::shared_ptr<void> mark(&owned, [](void*) {});
  return mark;
}

void throw_made_too_early() {
  family_memory::get();  // throws where there is none at all
  throw std::logic_error(
      "brood: this handle was made before brood::init or brood::run began, so each process would have an "
      "object of its "
      "own; make it in the application, and give it to children as an argument");
}

void throw_for_decoder() {
  try {
    throw;
  } catch (const arena_full&) {
    throw;
  } catch (const decode_error&) {
    throw;
  } catch (const error& wrong) {
    throw decode_error(wrong.what());
  }
}

[[gnu::hot]] travelling_objects::travelling_objects() noexcept : outer_(std::exchange(gathering, this)) {}
[[gnu::hot]] travelling_objects::~travelling_objects() { gathering = outer_; }

void travelling_objects::note(std::shared_ptr<shared_object> object) {
  if (gathering != nullptr) gathering->objects_.push_back(std::move(object));
}

}  // namespace brood::detail
