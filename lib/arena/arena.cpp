// The arena's memory: memfd, mapping, layout, statistics. The heap is in heap.cpp, the processes in process_table.cpp.
#include "brood/arena/arena.hpp"
#include "system/calls.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <system_error>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BROOD_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define BROOD_THREAD_SANITIZER
#endif

namespace brood {
namespace {

[[noreturn]] void fail(const char* call) { throw std::system_error(errno, std::generic_category(), call); }

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

#ifdef BROOD_KILL_FUZZ
namespace detail {
namespace {
std::uint64_t points_passed = 0;
std::uint64_t points_left = 0;
}  // namespace
void arm_kill_point(std::uint64_t steps) noexcept { points_left = steps; }
std::uint64_t kill_points_passed() noexcept { return points_passed; }
void kill_point() noexcept {
  ++points_passed;
  if (points_left != 0 && --points_left == 0) sys::kill(::getpid(), SIGKILL);
}
}  // namespace detail
#endif

arena::arena(int fd, std::size_t size) : fd_(fd), size_(size) {}

arena::~arena() {
  if (base_ != nullptr) sys::munmap(base_, size_);
  if (fd_ >= 0) sys::close(fd_);
}

std::unique_ptr<arena> arena::create(std::size_t bytes) {
  bytes = round_up(std::clamp<std::uint64_t>(bytes, smallest_arena, largest_arena), detail::unit_bytes);
  // Where address space is limited (`ulimit -v`), as much of it as there is.
  for (;;) {
    try {
      return create_exactly(bytes);
    } catch (const std::system_error& e) {
      if (e.code().value() != ENOMEM || bytes / 4 < smallest_arena) throw;
      bytes = round_up(bytes / 4, detail::unit_bytes);
    }
  }
}

std::unique_ptr<arena> arena::create_exactly(std::uint64_t bytes) {
  const int fd = sys::memfd_create("brood", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) fail("memfd_create");
  std::unique_ptr<arena> made(new arena(fd, bytes));
  if (sys::ftruncate(fd, static_cast<off_t>(bytes)) != 0) fail("ftruncate");
  if (sys::fcntl(fd, F_ADD_SEALS, seals) != 0) fail("fcntl(F_ADD_SEALS)");
  made->map();
  made->lay_out();
  return made;
}

std::unique_ptr<arena> arena::attach(int fd) {
  struct stat status{};
  if (sys::fstat(fd, &status) != 0) fail("fstat");
  std::unique_ptr<arena> made(new arena(fd, static_cast<std::size_t>(status.st_size)));
  // Without the seals another process could shrink the file under us and turn every access into SIGBUS.
  const int has = sys::fcntl(fd, F_GET_SEALS);
  if (has < 0) fail("fcntl(F_GET_SEALS)");
  if ((has & seals) != seals || made->size_ < smallest_arena)
    throw error("the descriptor is no arena of brood");
  made->map();
  const detail::arena_header& h = made->header();
  const std::uint64_t size = made->size_;
  const bool sound = h.magic == detail::arena_magic && h.bytes == size && h.slots > 0 &&
                     h.slots < size / 1024 && h.units > 0 && h.units <= size / detail::unit_bytes &&
                     h.unit_table % 64 == 0 && h.process_table % 64 == 0 && h.heap % 64 == 0 &&
                     h.unit_table < size && h.process_table < size && h.heap < size &&
                     h.process_table + h.slots * sizeof(detail::process_slot) <= h.heap &&
                     h.unit_table + h.units * sizeof(detail::unit) <= h.process_table &&
                     h.heap + h.units * detail::unit_bytes <= size;
  if (!sound) throw error("the descriptor is an arena of another version of brood");
  return made;
}

void arena::map() {
  constexpr int flags = MAP_SHARED | MAP_NORESERVE;
  void* where = MAP_FAILED;
  if (preferred_address != 0) {
    where = sys::mmap(reinterpret_cast<void*>(preferred_address), size_, PROT_READ | PROT_WRITE,
                      flags | MAP_FIXED_NOREPLACE, fd_, 0);
  }
  if (where == MAP_FAILED) where = sys::mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags, fd_, 0);
  if (where == MAP_FAILED) fail("mmap");
  base_ = static_cast<std::byte*>(where);
  sys::madvise(base_, size_, MADV_DONTDUMP);  // a core file of every child would hold the whole family's data
}

void arena::lay_out() {
  // A fresh memfd is all zeros, which is the initial state of everything else.
  auto& h = header();
  h.bytes = size_;
  h.slots = std::clamp<std::uint64_t>(size_ / 16 / sizeof(detail::process_slot), 64, 65535);
  h.unit_table = round_up(sizeof(detail::arena_header), 4096);
  const std::uint64_t room = size_ - h.unit_table - h.slots * sizeof(detail::process_slot) - 2 * 4096;
  h.units = room / (detail::unit_bytes + sizeof(detail::unit));
  h.process_table = round_up(h.unit_table + h.units * sizeof(detail::unit), 1024);
  h.heap = round_up(h.process_table + h.slots * sizeof(detail::process_slot), 4096);
  h.slots_cut.store(1);           // slot 0 means none
  me_ = process_id{1, 1}.word();  // a section has an owner: the first process, which this is to be
  for (std::uint64_t index = 0; index < h.units;) {
    unsigned order = detail::max_order;
    while (index % (std::uint64_t{1} << order) != 0 || index + (std::uint64_t{1} << order) > h.units) --order;
    detail::section_guard g(*this, h.heap_section);
    push_free(g, index, order, false);
    g.commit();
    index += std::uint64_t{1} << order;
  }
  me_ = 0;
  h.magic = detail::arena_magic;
}

arena_statistics arena::statistics() const {
  const auto& h = header();
  arena_statistics s;
  s.bytes_total = h.units * detail::unit_bytes;
  s.bytes_used = h.bytes_used.load(std::memory_order_relaxed);
  s.blocks = h.blocks.load(std::memory_order_relaxed);
  struct stat status{};
  if (sys::fstat(fd_, &status) == 0) s.bytes_resident = static_cast<std::uint64_t>(status.st_blocks) * 512;
  for (std::uint32_t i = 1; i < h.slots_cut.load(std::memory_order_relaxed); ++i) {
    if (static_cast<std::uint32_t>(slot_at(i).state.load(std::memory_order_relaxed)) != 0) ++s.processes;
  }
  for (unsigned i = 0; i < detail::slab_classes; ++i) {
    s.classes.emplace_back(detail::slab_class_bytes[i], h.blocks_of[i].load(std::memory_order_relaxed));
  }
  for (unsigned i = 0; i <= detail::max_order; ++i) {
    s.classes.emplace_back(detail::unit_bytes << i,
                           h.blocks_of[detail::slab_classes + i].load(std::memory_order_relaxed));
  }
  return s;
}

}  // namespace brood
