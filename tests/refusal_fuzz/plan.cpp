#include "plan.hpp"

#include <execinfo.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "system/fail_point.hpp"

namespace refusal_fuzz {
namespace {

plan* map_plan() noexcept {
  void* where = ::mmap(nullptr, sizeof(plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (where == MAP_FAILED) std::abort();
  return static_cast<plan*>(where);  // all zeros, as it begins
}

plan* mapped = nullptr;

std::uint64_t key_of(const char* name) noexcept {
  std::uint64_t key = 14695981039346656037u;
  for (; *name != 0; ++name) key = (key ^ static_cast<unsigned char>(*name)) * 1099511628211u;
  return key;
}

point& point_of(plan& p, const char* name, std::initializer_list<int> errors) noexcept {
  const std::uint64_t key = key_of(name);
  for (std::size_t i = key % p.points.size();; i = (i + 1) % p.points.size()) {
    point& at = p.points[i];
    std::uint64_t found = at.key.load();
    if (found == key) return at;
    if (found != 0 || !at.key.compare_exchange_strong(found, key)) {
      if (found == key) return at;
      continue;
    }
    std::strncpy(at.name, name, sizeof at.name - 1);
    std::size_t count = 0;
    for (const int error : errors)
      if (count < std::size(at.errors)) at.errors[count++] = error;
    at.error_count = static_cast<std::uint32_t>(count);
    return at;
  }
}

role role_of_caller(plan& p) noexcept {
  const pid_t self = ::getpid();
  if (self == p.root) return role::root;
  pid_t server = 0;  // the first of the other processes
  if (p.server.compare_exchange_strong(server, self) || server == self) return role::server;
  return role::child;
}

bool refuse(const char* name, std::initializer_list<int> errors) noexcept {
  plan* const p = mapped;
  if (p == nullptr || !p->counting.load(std::memory_order_relaxed)) return false;
  point& at = point_of(*p, name, errors);
  const role who = role_of_caller(*p);
  const std::uint32_t use = ++at.uses[static_cast<unsigned>(who)];
  const choice& chosen = p->chosen;
  if (use != chosen.use || who != chosen.who || &at != &p->points[chosen.point]) return false;
  p->refused = true;
  // A program to be executed is prepared on a stack of its own, where there is no way back to be found.
  p->depth = who == role::child ? 0 : ::backtrace(p->where, static_cast<int>(std::size(p->where)));
  errno = chosen.error;
  return true;
}

}  // namespace

plan& the_plan() noexcept {
  if (mapped == nullptr) mapped = map_plan();
  return *mapped;
}

void begin(const choice& chosen) noexcept {
  plan& p = the_plan();
  for (point& each : p.points)
    for (auto& uses : each.uses) uses = 0;
  p.server = 0;
  p.root = ::getpid();
  p.refused = false;
  p.depth = 0;
  p.chosen = chosen;
}

}  // namespace refusal_fuzz

namespace brood::sys {
bool fail_point(const char* call, std::initializer_list<int> errors) noexcept {
  return refusal_fuzz::refuse(call, errors);
}
}  // namespace brood::sys

// The heap. What is not refused is malloc's.

void* operator new(std::size_t size) {
  if (refusal_fuzz::refuse("operator new", {ENOMEM})) throw std::bad_alloc();
  if (void* block = std::malloc(size == 0 ? 1 : size)) return block;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  if (refusal_fuzz::refuse("operator new", {ENOMEM})) throw std::bad_alloc();
  const auto unit = static_cast<std::size_t>(alignment);
  if (void* block = std::aligned_alloc(unit, (size + unit - 1) / unit * unit)) return block;
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }
