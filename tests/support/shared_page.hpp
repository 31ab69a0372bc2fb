// shared_page: what forks of a test tell each other besides what is tested. In memory of its own, not in the
// arena.
#pragma once

#include <sys/mman.h>

#include <new>
#include <stdexcept>

namespace brood::test {

/// A `T` that forks made while it lives share.
template <class T>
class shared_page {
 public:
  shared_page() {
    void* where = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (where == MAP_FAILED) throw std::runtime_error("mmap");
    value_ = new (where) T{};
  }
  ~shared_page() { ::munmap(value_, sizeof(T)); }
  shared_page(const shared_page&) = delete;
  shared_page& operator=(const shared_page&) = delete;

  T& operator*() const noexcept { return *value_; }
  T* operator->() const noexcept { return value_; }

 private:
  T* value_;
};

}  // namespace brood::test
