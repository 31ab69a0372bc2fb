// A program with queues, locks, children, programs, a pool and a manager, for tests/support/inject: it does everything twice.
// An error may end either time, as each process of the family has its own first uses, and it says which.
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "scenarios.hpp"

namespace {

constexpr int refused = 3;
constexpr int broken = 4;

/// Empty, or the error.
brood::task<std::string> attempt(const refusal_fuzz::scenario& s) {
  try {
    co_await s.body();
  } catch (const refusal_fuzz::wrong& w) {
    co_return std::string("WRONG ") + w.what;
  } catch (const std::logic_error& e) {
    co_return std::string("WRONG no typed error: ") + e.what();
  } catch (const std::exception& e) {
    co_return std::string("refused: ") + e.what();
  }
  co_return std::string();
}

brood::task<int> application(std::string only) {
  int result = 0;
  for (const auto& s : refusal_fuzz::scenarios()) {
    if (!only.empty() ? only != s.name : std::strchr(s.name, ',') != nullptr) continue;
    const std::string first = co_await attempt(s);
    if (first.empty()) continue;
    std::printf("%s: %s\n", s.name, first.c_str());
    result = refused;
    const std::string again = co_await attempt(s);
    if (!again.empty()) std::printf("%s: again: %s\n", s.name, again.c_str());
    if (first.starts_with("WRONG") || again.starts_with("WRONG")) co_return broken;
  }
  co_return result;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  refusal_fuzz::programs_are_refused = true;
  const bool internal = argc > 1 && std::strncmp(argv[1], "--brood", 7) == 0;
  if (!internal) std::puts("begun");
  const std::string only = argc > 1 && !internal ? argv[1] : "";
  try {
    return brood::run(argc, argv, [only] { return application(only); });
  } catch (const std::exception& e) {
    std::printf("refused: %s\n", e.what());
    return refused;
  }
}
