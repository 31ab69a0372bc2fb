// manager_peer ADDRESS: takes two numbers out of the queue "numbers" of a manager, puts their sum into it, and counts itself
// with the shared class `visitors`. Reads the key from standard input.
#include <fmt/core.h>

#include <iostream>
#include <string>

#include "../visitors.hpp"
#include "brood/runtime/runtime.hpp"

namespace {

brood::task<> visit(std::string where, std::string key) {
  auto m = co_await brood::manager::connect(where, key);
  auto q = co_await m.queue<int>(0, "numbers");
  const int a = co_await q.get();
  const int b = co_await q.get();
  co_await q.put(a + b);
  auto v = co_await m.make_named<visitors>("visitors");
  const int count = co_await v.call<&visitors::came>(std::string("peer"));
  fmt::print("visitor {}\n", count);
  auto names = v.each<&visitors::walk>();
  while (auto name = co_await names.next()) fmt::print("{} was here\n", *name);
}

}  // namespace

int main(int, char** argv) {
  std::string key;
  std::getline(std::cin, key);
  brood::runtime loop;
  try {
    loop.run_until_complete(visit(argv[1], key));
  } catch (const std::exception& e) {
    fmt::print("{}\n", e.what());
    return 1;
  }
}
