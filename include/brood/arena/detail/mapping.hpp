// mapping: the family's memory in this process's address space.
#pragma once

#include <cstddef>
#include <cstdint>

#include "brood/arena/detail/layout.hpp"
#include "brood/export.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood::detail {

/// One memfd, mapped. All processes of the family map the same; each may do so at an address of its own, so what lies in it
/// refers to other things by offset, and this class turns one into the other.
///
/// States of the memory, which its maker moves before anybody else can have it:
///   memfd --truncated and sealed: its size is fixed--> mapped --laid out: tables and heap--> whole, `magic` is set
/// Lifetime: the destructor unmaps and closes; the memory goes with the last process that maps it.
class BROOD_API mapping {
 public:
  /// A new memfd of `bytes`, rounded up; less where address space is limited. Throws `std::system_error` with the failing call.
  explicit mapping(std::size_t bytes);
  struct inherited {
    int fd;
  };
  /// One that another process has laid out; owns the descriptor. Throws `std::system_error`, or `error` if it is not an arena
  /// of this version.
  explicit mapping(inherited memory);
  ~mapping();
  mapping(const mapping&) = delete;
  mapping& operator=(const mapping&) = delete;

  int fd() const noexcept { return fd_.get(); }
  std::size_t size() const noexcept { return size_; }
  std::byte* base() const noexcept { return base_; }
  arena_header& header() const noexcept { return *reinterpret_cast<arena_header*>(base_); }
  process_slot& slot_at(std::uint32_t slot) const noexcept {
    return reinterpret_cast<process_slot*>(base_ + header().process_table)[slot];
  }

  /// What a reference names. No check: for those that this process got from a section it holds.
  template <class T>
  T& at(reference r) const noexcept {
    return *reinterpret_cast<T*>(base_ + std::uint64_t{r} * granule);
  }
  std::byte* payload_at(reference block) const noexcept {
    return base_ + std::uint64_t{block} * granule + sizeof(block_header);
  }
  /// The payload of a block as the state of an object.
  template <class State>
  State& state_at(reference block) const noexcept {
    return *reinterpret_cast<State*>(payload_at(block));
  }
  template <class T>
  reference to_reference(const T& object) const noexcept {
    const auto offset = reinterpret_cast<const std::byte*>(&object) - base_;
    return static_cast<reference>(static_cast<std::uint64_t>(offset) / granule);
  }
  std::uint64_t offset_of(const word& w) const noexcept {
    return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&w) - base_);
  }

 private:
  mapping() = default;
  void make(std::size_t bytes);
  void map(std::size_t bytes);
  void lay_out();

  unique_fd fd_;
  std::size_t size_ = 0;
  std::byte* base_ = nullptr;
};

}  // namespace brood::detail
