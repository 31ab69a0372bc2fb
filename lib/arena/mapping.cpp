// The mapping: memfd, seals, address, and the layout of a new one.
#include "brood/arena/detail/mapping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "brood/coroutine/error.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BROOD_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define BROOD_THREAD_SANITIZER
#endif

namespace brood::detail {
namespace {

// One address for the whole family, in exec'd images too, makes dumps and debuggers agree. 32 TiB is application memory under
// AddressSanitizer as well (its "high memory" begins at 16 TiB) and far from what the kernel gives out by itself.
// ThreadSanitizer knows no memory there. Nothing depends on the address: every reference is an offset.
#ifdef BROOD_THREAD_SANITIZER
constexpr std::uintptr_t preferred_address = 0;
#else
constexpr std::uintptr_t preferred_address = 0x2000'0000'0000;
#endif

constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr std::uint64_t smallest_arena = 1024 * 1024;
constexpr std::uint64_t largest_arena = std::uint64_t{256} << 30;

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

mapping::mapping(std::size_t bytes) : mapping() {
  bytes = round_up(std::clamp<std::uint64_t>(bytes, smallest_arena, largest_arena), unit_bytes);
  // Where address space is limited (`ulimit -v`), as much of it as there is.
  while (base_ == nullptr) {
    try {
      make(bytes);
    } catch (const std::system_error& e) {
      if (e.code().value() != ENOMEM || bytes / 4 < smallest_arena) throw;
      bytes = round_up(bytes / 4, unit_bytes);
    }
  }
  lay_out();
}

void mapping::make(std::size_t bytes) {
  fd_ = unique_fd(sys::memfd_create("brood", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd_) sys::throw_errno("memfd_create");
  if (sys::ftruncate(fd(), static_cast<off_t>(bytes)) != 0) sys::throw_errno("ftruncate");
  if (sys::fcntl(fd(), F_ADD_SEALS, seals) != 0) sys::throw_errno("fcntl(F_ADD_SEALS)");
  map(bytes);
}

mapping::mapping(inherited memory) : mapping() {
  fd_ = unique_fd(memory.fd);
  struct stat status{};
  if (sys::fstat(fd(), &status) != 0) sys::throw_errno("fstat");
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  // Without the seals another process could shrink the file under us and turn every access into SIGBUS.
  const int has = sys::fcntl(fd(), F_GET_SEALS);
  if (has < 0) sys::throw_errno("fcntl(F_GET_SEALS)");
  if ((has & seals) != seals || bytes < smallest_arena) throw error("the descriptor is no arena of brood");
  map(bytes);
  const arena_header& h = header();
  const bool sound =
      h.magic == arena_magic && h.bytes == bytes && h.slots > 0 && h.slots < bytes / 1024 && h.units > 0 &&
      h.units <= bytes / unit_bytes && h.unit_table % 64 == 0 && h.process_table % 64 == 0 &&
      h.heap % 64 == 0 && h.unit_table < bytes && h.process_table < bytes && h.heap < bytes &&
      h.process_table + h.slots * sizeof(process_slot) <= h.heap &&
      h.unit_table + h.units * sizeof(unit) <= h.process_table && h.heap + h.units * unit_bytes <= bytes;
  if (!sound) throw error("the descriptor is an arena of another version of brood");
}

mapping::~mapping() {
  if (base_ != nullptr) sys::munmap(base_, size_);
}

void mapping::map(std::size_t bytes) {
  constexpr int flags = MAP_SHARED | MAP_NORESERVE;
  void* where = MAP_FAILED;
  if (preferred_address != 0) {
    where = sys::mmap(reinterpret_cast<void*>(preferred_address), bytes, PROT_READ | PROT_WRITE,
                      flags | MAP_FIXED_NOREPLACE, fd(), 0);
  }
  if (where == MAP_FAILED) where = sys::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd(), 0);
  if (where == MAP_FAILED) sys::throw_errno("mmap");
  base_ = static_cast<std::byte*>(where);
  size_ = bytes;
  sys::madvise(base_, size_, MADV_DONTDUMP);  // a core file of every child would hold the whole family's data
}

/// The tables. A fresh memfd is all zeros, which is the initial state of everything else but the heap's free lists.
void mapping::lay_out() {
  arena_header& h = header();
  h.bytes = size_;
  h.slots = std::clamp<std::uint64_t>(size_ / 16 / sizeof(process_slot), 64, 65535);
  h.unit_table = round_up(sizeof(arena_header), 4096);
  const std::uint64_t room = size_ - h.unit_table - h.slots * sizeof(process_slot) - 2 * 4096;
  h.units = room / (unit_bytes + sizeof(unit));
  h.process_table = round_up(h.unit_table + h.units * sizeof(unit), 1024);
  h.heap = round_up(h.process_table + h.slots * sizeof(process_slot), 4096);
  h.magic = arena_magic;
}

}  // namespace brood::detail
