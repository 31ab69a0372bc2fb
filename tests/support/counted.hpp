// counted: a value that notices when it is leaked, destroyed twice or moved about as mere bytes.
#pragma once

#include "catch.hpp"

struct counted {
  static inline int live = 0;
  static inline int broken = 0;

  counted(int v = 0) : value(v) { ++live; }
  counted(const counted& other) : value(other.checked().value) { ++live; }
  counted(counted&& other) noexcept : value(other.checked().value) {
    ++live;
    other.value = -1;
  }
  counted& operator=(const counted& other) {
    value = other.checked().value;
    return *this;
  }
  counted& operator=(counted&& other) noexcept {
    value = other.checked().value;
    if (&other != this) other.value = -1;
    return *this;
  }
  ~counted() {
    checked().self_ = nullptr;
    --live;
  }

  int value;

 private:
  template <class Self>
  static Self& check(Self& self) noexcept {
    if (self.self_ != &self) ++broken;
    return self;
  }
  const counted& checked() const noexcept { return check(*this); }
  counted& checked() noexcept { return check(*this); }

  const counted* self_ = this;
};

/// At the end of its scope every `counted` must be gone, each destroyed once.
struct counted_check {
  counted_check() { counted::live = counted::broken = 0; }
  counted_check(const counted_check&) = delete;
  counted_check& operator=(const counted_check&) = delete;
  ~counted_check() {
    CHECK(counted::live == 0);
    CHECK(counted::broken == 0);
  }
};
