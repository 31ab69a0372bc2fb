// The manager's dict, from this process and from children.
#include <string>
#include <vector>

#include "brood/manager/manager.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

using brood::manager;
using brood::task;

TEST_CASE("a dict") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start();
    auto d = co_await m.dict<std::string, int>();
    co_await d.set("1", 1);
    const auto one = co_await d.get("1");
    CHECK(one == 1);
    co_await m.shutdown();
  });
}
