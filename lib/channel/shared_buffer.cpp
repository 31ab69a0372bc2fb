// Buffers: the smallest of the shared objects.
#include "brood/channel/shared_buffer.hpp"

#include "brood/arena/family_memory.hpp"

namespace brood {
namespace detail {

std::shared_ptr<buffer_object> buffer_object::create(arena& memory, std::size_t size) {
  word& cell = memory.take_cell();
  std::shared_ptr<buffer_object> buffer;
  try {
    const reference block = memory.allocate(size, buffer_kind, cell, held::block);
    buffer = std::make_shared<buffer_object>(memory, block, cell);
  } catch (...) {
    if (const std::uint64_t value = cell.load(); value != 0) memory.release(cell_reference(value), cell);
    memory.return_cell(cell);
    throw;
  }
  remember_object(buffer);
  return buffer;
}

std::shared_ptr<buffer_object> buffer_object::open(arena& memory, object_name name) {
  if (auto known = std::dynamic_pointer_cast<buffer_object>(find_object(name))) return known;
  auto buffer = std::make_shared<buffer_object>(memory, name);
  remember_object(buffer);
  return buffer;
}

buffer_object::buffer_object(arena& memory, reference block, word& cell)
    : shared_object(memory, block, buffer_kind, cell), bytes_(memory.payload(block, buffer_kind)) {}
buffer_object::buffer_object(arena& memory, object_name name)
    : shared_object(memory, name, buffer_kind), bytes_(memory.payload(name.block, buffer_kind)) {}

}  // namespace detail

shared_buffer::shared_buffer(std::size_t size)
    : object_(detail::buffer_object::create(family_memory::get(), size)) {}

void shared_buffer::open(detail::object_name name) {
  object_.reset();
  if (name.block == 0) return;
  try {
    object_ = detail::buffer_object::open(family_memory::get(), name);
  } catch (const arena_full&) {
    throw;
  } catch (const error& wrong) {
    throw decode_error(wrong.what());
  }
}

}  // namespace brood
