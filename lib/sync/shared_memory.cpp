// Named memory, and the register of names that are to go with the family.
//
// A name is registered in a block of the arena, in a list that begins in its creator's slot. Who cleans up after
// the creator takes the blocks over, so that at last the process the family began with has them all. The
// object is made without a name (O_TMPFILE) and registered with its inode before it is given one: at no
// instruction is there a name that is not registered, and a name that is somebody else's has another inode.
#include "brood/sync/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <system_error>

#include "brood/arena/detail/intent.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/sync/detail/primitive.hpp"
#include "brood/system/unique_fd.hpp"
#include "system/calls.hpp"

namespace brood {
namespace detail {
namespace {

constexpr std::string_view folder = "/dev/shm/";
constexpr std::size_t longest_name = 255;

struct registered_name {
  std::uint64_t inode;
  std::uint64_t device;
  char path[folder.size() + longest_name + 1];
};

[[noreturn]] void fail(int error_number, const char* call, const std::string& name) {
  throw std::system_error(error_number, std::generic_category(),
                          "brood::shared_memory \"" + name + "\": " + call);
}

std::string checked(std::string_view name) {
  if (!name.empty() && name.front() == '/') name.remove_prefix(1);
  if (name.empty() || name.size() > longest_name || name == "." || name == ".." ||
      name.find_first_of(std::string_view("/\0", 2)) != name.npos) {
    throw std::invalid_argument("brood::shared_memory: \"" + std::string(name.substr(0, longest_name)) +
                                "\" cannot be a name");
  }
  return std::string(name);
}

std::string path_of(const std::string& name) { return std::string(folder) + name; }

/// Whether the name is still that object's.
bool is_in_use(const registered_name& entry) noexcept {
  struct stat status{};
  return entry.path[0] == '/' && sys::stat(entry.path, &status) == 0 && status.st_ino == entry.inode &&
         status.st_dev == entry.device;
}

registered_name* name_at(arena& memory, reference block) noexcept {
  const auto payload = memory.heap.payload(block, name_block);
  return payload.size() < sizeof(registered_name) ? nullptr
                                                  : reinterpret_cast<registered_name*>(payload.data());
}

/// Checked: shared memory may hold anything.
registered_name copy_of(const registered_name& entry) noexcept {
  registered_name copy = entry;
  copy.path[sizeof copy.path - 1] = 0;
  return copy;
}

/// At the end of a process by `exit`: that of the first one is the end of the family.
struct end_of_family {
  ~end_of_family() {
    if (::getpid() == process && family_memory::self().slot == 1) unlink_names_of_family();
  }
  const pid_t process = ::getpid();
};

/// Takes one off the list of this process.
void forget(arena& memory, const std::string& path) noexcept {
  for (word* link = &memory.processes.my_slot().names; link->load(std::memory_order_relaxed) != 0;) {
    const reference block = cell_reference(link->load(std::memory_order_relaxed));
    word& next = memory.map.at<block_header>(block).next_name;
    const registered_name* entry = name_at(memory, block);
    if (entry == nullptr || path == copy_of(*entry).path) {
      return memory.heap.release(block, *link, next.load(std::memory_order_relaxed));
    }
    link = &next;
  }
}

/// From here on a clean-up does not free it but takes it over.
void put_in_list(arena& memory, reference block, word& holder, std::uint64_t then) {
  word& names = memory.processes.my_slot().names;
  section_guard g(memory.processes, memory.map.header().heap_section);
  g.set(memory.map.at<block_header>(block).next_name, g.get(names));
  g.set(names, make_cell(held::custom, block));
  g.set(holder, then);
  g.commit();
}

void enter(arena& memory, const std::string& path, const struct stat& status) {
  memory.processes.require_slot();
  forget(memory, path);  // of one that somebody else has unlinked
  word& cell = memory.heap.take_cell();
  reference block = 0;
  try {
    block = memory.heap.allocate(sizeof(registered_name), name_block, cell, held::block, true);
  } catch (...) {
    memory.heap.return_cell(cell);
    throw;
  }
  registered_name& entry = *name_at(memory, block);
  entry.inode = status.st_ino;
  entry.device = status.st_dev;
  std::memcpy(entry.path, path.c_str(), path.size() + 1);
  kill_point();
  put_in_list(memory, block, cell, 0);
  memory.heap.return_cell(cell);
}

/// Takes a dead process's first name over; `names` then begins with its next.
void inherit_name(arena& memory, word& names) {
  const reference block = cell_reference(names.load(std::memory_order_acquire));
  const std::uint64_t next = memory.map.at<block_header>(block).next_name.load(std::memory_order_relaxed);
  const registered_name* entry = name_at(memory, block);
  if (entry == nullptr) return names.store(0, std::memory_order_release);
  if (!is_in_use(copy_of(*entry))) return memory.heap.release(block, names, next);  // unlinked by another
  put_in_list(memory, block, names, next);
}

const object_kind name_functions{nullptr, nullptr, inherit_name};
const bool registered = [] {
  register_object_kind(name_block, name_functions);
  static end_of_family at_exit;  // destroyed after whatever uses it
  return true;
}();

}  // namespace

void unlink_names_of_family() noexcept {
  if (!family_memory::exists()) return;
  arena& memory = family_memory::get();
  const auto slots =
      std::min(memory.map.header().slots, memory.map.header().slots_cut.load(std::memory_order_acquire));
  for (std::uint32_t slot = 1; slot < slots; ++slot) {
    reference block = cell_reference(memory.map.slot_at(slot).names.load(std::memory_order_acquire));
    while (const registered_name* entry = name_at(memory, block)) {
      const registered_name copy = copy_of(*entry);
      if (is_in_use(copy)) sys::unlink(copy.path);
      block = cell_reference(memory.map.at<block_header>(block).next_name.load(std::memory_order_acquire));
    }
  }
  if (memory.processes.me() == 0) return;
  word& mine = memory.processes.my_slot().names;
  while (const reference block = cell_reference(mine.load(std::memory_order_relaxed))) {
    memory.heap.release(block, mine,
                        memory.map.at<block_header>(block).next_name.load(std::memory_order_relaxed));
  }
}

class named_mapping {
 public:
  named_mapping(std::string name, int fd, std::size_t size) : name_(std::move(name)), size_(size) {
    data_ = sys::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data_ == MAP_FAILED) fail(errno, "mmap", name_);
  }
  ~named_mapping() { sys::munmap(data_, size_); }
  named_mapping(const named_mapping&) = delete;
  named_mapping& operator=(const named_mapping&) = delete;

  const std::string& name() const noexcept { return name_; }
  std::span<std::byte> bytes() const noexcept { return {static_cast<std::byte*>(data_), size_}; }

 private:
  std::string name_;
  std::size_t size_;
  void* data_;
};

namespace {

void require_size(std::size_t size) {
  if (size == 0) throw std::invalid_argument("brood::shared_memory: a size of zero");
  if (size > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max())) {
    throw std::invalid_argument("brood::shared_memory: a negative size, or one that no process can map");
  }
}

/// Without a name yet. Whether there is room is asked here: later it would be a SIGBUS at the first touch.
unique_fd make_object(const std::string& name, std::size_t size) {
  unique_fd fd(sys::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) fail(errno, "open(O_TMPFILE)", name);
  struct statfs room{};
  if (sys::fstatfs(fd.get(), &room) == 0 && room.f_blocks != 0 &&
      room.f_bavail < (size - 1) / static_cast<std::size_t>(room.f_bsize) + 1) {
    fail(ENOSPC, "create", name);
  }
  if (sys::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) fail(errno, "ftruncate", name);
  return fd;
}

std::shared_ptr<named_mapping> attach_to(const std::string& name) {
  const unique_fd fd(sys::open(path_of(name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) fail(errno, "attach", name);
  struct stat status{};
  if (sys::fstat(fd.get(), &status) != 0) fail(errno, "fstat", name);
  if (!S_ISREG(status.st_mode) || status.st_size == 0) fail(EINVAL, "attach", name);
  return std::make_shared<named_mapping>(name, fd.get(), static_cast<std::size_t>(status.st_size));
}

}  // namespace
}  // namespace detail

shared_memory shared_memory::create(std::string_view wanted, std::size_t size) {
  const std::string name = detail::checked(wanted);
  detail::require_size(size);
  const unique_fd fd = detail::make_object(name, size);
  auto mapping = std::make_shared<detail::named_mapping>(name, fd.get(), size);
  const std::string path = detail::path_of(name);
  const std::string open_file = "/proc/self/fd/" + std::to_string(fd.get());
  struct stat status{};
  if (sys::fstat(fd.get(), &status) != 0) detail::fail(errno, "fstat", name);
  // Registering a name that is in use would forget whose it is.
  if (sys::access(path.c_str(), F_OK) == 0) detail::fail(EEXIST, "create", name);
  const bool in_family = family_memory::exists() && (family_memory::get().processes.require_slot(), true);
  if (in_family) detail::enter(family_memory::get(), path, status);
  if (sys::linkat(AT_FDCWD, open_file.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    const int error_number = errno;
    if (in_family) detail::forget(family_memory::get(), path);
    detail::fail(error_number, "create", name);
  }
  return shared_memory(std::move(mapping));
}

shared_memory shared_memory::create(std::size_t size) {
  std::uint64_t random = 0;
  if (sys::getrandom(&random, sizeof random) != sizeof random) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  return create("brood-" + std::to_string(random), size);
}

shared_memory shared_memory::attach(std::string_view name) {
  return shared_memory(detail::attach_to(detail::checked(name)));
}

void shared_memory::unlink(std::string_view wanted) {
  const std::string name = detail::checked(wanted);
  const std::string path = detail::path_of(name);
  if (sys::unlink(path.c_str()) != 0) detail::fail(errno, "unlink", name);
  if (family_memory::self()) detail::forget(family_memory::get(), path);
}

void shared_memory::persist() const {
  if (mapping_ != nullptr && family_memory::self()) {
    detail::forget(family_memory::get(), detail::path_of(name()));
  }
}

const std::string& shared_memory::name() const noexcept {
  static const std::string none;
  return mapping_ == nullptr ? none : mapping_->name();
}

std::span<std::byte> shared_memory::bytes() const noexcept {
  return mapping_ == nullptr ? std::span<std::byte>() : mapping_->bytes();
}

void shared_memory::reattach(const std::string& name) {
  mapping_.reset();
  if (name.empty()) return;
  try {
    mapping_ = detail::attach_to(detail::checked(name));
  } catch (const std::invalid_argument& wrong) {
    throw decode_error(wrong.what());
  }
}

}  // namespace brood
