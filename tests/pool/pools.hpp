// What tests of pools share: functions for workers.
#pragma once

#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <string>
#include <vector>

#include "brood/coroutine/sleep.hpp"
#include "brood/pool/pool.hpp"
#include "catch.hpp"
#include "run_balanced.hpp"
#include "scale.hpp"

namespace pools {

inline int square(int x) { return static_cast<int>(static_cast<unsigned>(x) * static_cast<unsigned>(x)); }
inline int add(int a, int b) { return a + b; }
inline int pid_of_worker(int) { return getpid(); }
inline int raise_signal(int number) {
  raise(number);
  return number;
}
inline void do_nothing(int) {}
inline std::string twice(const std::string& text) { return text + text; }
inline int throw_if_odd(int x) {
  if (x % 2 != 0) throw std::out_of_range("odd: " + std::to_string(x));
  return x;
}
[[noreturn]] inline void wait_for_ever(int) {
  for (;;) pause();
}

inline std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) all[static_cast<std::size_t>(i)] = i;
  return all;
}
inline std::vector<int> squares(int count) {
  std::vector<int> all = numbers(count);
  for (int& each : all) each = square(each);
  return all;
}

/// Whether awaiting `operation` throws `E`.
template <class E, class A>
brood::task<bool> throws(A operation) {
  try {
    co_await std::move(operation);
  } catch (const E&) {
    co_return true;
  }
  co_return false;
}

}  // namespace pools
