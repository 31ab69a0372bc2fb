// shared_memory: memory with a name, which also processes of other families can map.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "brood/arena/codec.hpp"
#include "brood/export.hpp"

namespace brood {
namespace detail {
class named_mapping;
}

/// A POSIX shared memory object (shm_overview(7)), mapped for reading and writing; only this user may open
/// it. A small handle: copies share the mapping, which goes with the last of them. In a message it travels as
/// its name, so whoever decodes it attaches. Lifetime of the name: until `unlink`, or until the family ends
/// whose process created it, however it ends; attaching changes nothing about that. What is mapped stays,
/// with or without a name. Names: 1 to 255 bytes, of which none is '/' (one in front is left out, as for
/// shm_open(3)) or NUL; not "." and "..". Throws `std::invalid_argument` for other names and
/// `std::system_error` for what the system refuses, with the name.
class BROOD_API shared_memory {
 public:
  /// Maps nothing; empty.
  shared_memory() = default;
  /// `size` bytes of zeros. Nobody can attach to it before it has its size. Throws also
  /// `std::invalid_argument` for a size of zero, or more than can be mapped; EEXIST if the name is in use;
  /// ENOSPC if there is not so much free.
  static shared_memory create(std::string_view name, std::size_t size);
  /// The same under a name nobody else has.
  static shared_memory create(std::size_t size);
  /// One that exists, in its whole size. Throws ENOENT if there is none.
  static shared_memory attach(std::string_view name);
  /// Takes the name away. Throws ENOENT if there is none.
  static void unlink(std::string_view name);

  /// Of this one.
  void unlink() const { unlink(name()); }
  /// The name outlives this family, if it created it. Only for the process that did so.
  void persist() const;

  /// Without '/'; empty if nothing is mapped.
  const std::string& name() const noexcept;
  std::span<std::byte> bytes() const noexcept;
  std::byte* data() const noexcept { return bytes().data(); }
  std::size_t size() const noexcept { return bytes().size(); }
  bool empty() const noexcept { return size() == 0; }
  operator std::span<std::byte>() const noexcept { return bytes(); }

  /// Whether they share one mapping.
  friend bool operator==(const shared_memory&, const shared_memory&) = default;

  template <class Archive>
  void save(Archive& archive) const {
    archive(name());
  }
  /// Throws as `attach`, and `decode_error` for what cannot be a name.
  template <class Archive>
  void load(Archive& archive) {
    std::string name;
    archive(name);
    reattach(name);
  }

 private:
  explicit shared_memory(std::shared_ptr<detail::named_mapping> mapping) noexcept
      : mapping_(std::move(mapping)) {}
  void reattach(const std::string& name);

  std::shared_ptr<detail::named_mapping> mapping_;
};

namespace detail {
/// Takes away every name that processes of this family created and did not unlink. For the end of the family:
/// by the process it began with, or by who outlives that.
BROOD_API void unlink_names_of_family() noexcept;
}  // namespace detail

}  // namespace brood
