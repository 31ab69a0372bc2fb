// expect: nothing
#include <string>
#include <utility>
#include <vector>

#include "brood/manager/manager.hpp"

struct point {
  int x;
  int y;
};
struct job {
  std::string path;
};

brood::task<> f(brood::manager m, std::string path) {
  job item{.path = path};
  auto v = co_await m.value<job>();
  co_await v.set(item);
  co_await v.compare_exchange(item, brood::moved{item});
  auto d = co_await m.dict<std::string, job>("jobs");
  co_await d.set("key", item);
  co_await d.set(path + "/key", std::as_const(item));
  co_await d.get(path, item);
  co_await d.compare_exchange(path, std::nullopt, item);
  auto small = co_await m.dict<std::string, short>();
  co_await small.set("key", 5);
  co_await small.get("key", 5);
  auto l = co_await m.list<std::string>();
  co_await l.append("text");
  co_await l.extend(std::vector<std::string>(3, "text"));
  auto points = co_await m.set<point>();
  co_await points.add({1, 2});
  co_await points.add(point{.x = 1, .y = 2});
}
