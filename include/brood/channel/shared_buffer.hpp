// shared_buffer: a block of shared memory that goes from process to process without being copied.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/shared_object.hpp"
#include "brood/export.hpp"

namespace brood {
namespace detail {

/// This process's reference to a buffer: a counted object that is nothing but its bytes.
class BROOD_API buffer_object final : public shared_object {
 public:
  static constexpr std::uint8_t kind_number = buffer_kind;
  static std::shared_ptr<buffer_object> create(arena& memory, std::size_t size);

  buffer_object(arena& memory, reference block, word& cell);
  buffer_object(arena& memory, object_name name);

  std::span<std::byte> bytes() const noexcept { return is_gone() ? std::span<std::byte>() : bytes_; }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace detail

/// A small handle: copies name the same bytes, in this process, in others and inside messages, where a buffer of any
/// size takes a few bytes. Nobody is kept from writing: whoever hands a buffer over hands over the right to use it.
/// The memory goes with the last handle of the last process and message, also of killed ones.
class BROOD_API shared_buffer {
 public:
  /// Names no memory; empty.
  shared_buffer() = default;
  /// `size` bytes, aligned to 64, of any content. Throws `arena_full`, and `std::logic_error` without `brood::init`.
  explicit shared_buffer(std::size_t size);

  std::byte* data() const noexcept { return bytes().data(); }
  std::size_t size() const noexcept { return bytes().size(); }
  bool empty() const noexcept { return size() == 0; }
  std::span<std::byte> bytes() const noexcept {
    return object_ == nullptr ? std::span<std::byte>() : object_->bytes();
  }
  operator std::span<std::byte>() const noexcept { return bytes(); }
  std::byte* begin() const noexcept { return data(); }
  std::byte* end() const noexcept { return data() + size(); }
  std::byte& operator[](std::size_t index) const noexcept { return data()[index]; }

  /// Whether they name the same memory.
  friend bool operator==(const shared_buffer&, const shared_buffer&) = default;

  template <class Archive>
  void save(Archive& archive) const {
    detail::object_name name;
    if (object_ != nullptr) {
      name = object_->name();
      detail::travelling_objects::note(object_);
    }
    archive(name.block, name.generation);
  }
  /// Throws `decode_error` if the bytes name no buffer.
  template <class Archive>
  void load(Archive& archive) {
    detail::object_name name;
    archive(name.block, name.generation);
    open(name);
  }

 private:
  void open(detail::object_name name);

  std::shared_ptr<detail::buffer_object> object_;
};

}  // namespace brood
