// Buffers: the smallest of the shared objects.
#include "brood/channel/shared_buffer.hpp"

#include "brood/arena/detail/object_kit.hpp"
#include "brood/arena/family_memory.hpp"

namespace brood {
namespace detail {

std::shared_ptr<buffer_object> buffer_object::create(arena& memory, std::size_t size) {
  return create_object<buffer_object>(memory, size, false, [](reference) {});
}

buffer_object::buffer_object(arena& memory, reference block, word& cell)
    : shared_object(memory, block, buffer_kind, cell), bytes_(memory.heap.payload(block, buffer_kind)) {}
buffer_object::buffer_object(arena& memory, object_name name)
    : shared_object(memory, name, buffer_kind), bytes_(memory.heap.payload(name.block, buffer_kind)) {}

}  // namespace detail

shared_buffer::shared_buffer(std::size_t size)
    : object_(detail::buffer_object::create(family_memory::get(), size)) {}

void shared_buffer::open(detail::object_name name) {
  object_.reset();
  if (name.block == 0) return;
  object_ = detail::open_decoded(
      [&] { return detail::open_object<detail::buffer_object>(family_memory::get(), name); });
}

}  // namespace brood
