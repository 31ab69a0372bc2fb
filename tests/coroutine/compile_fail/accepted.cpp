// expect: nothing
#include <string>

#include "brood/process/spawn.hpp"

struct job {
  std::string path;
};
struct made {
  made() = default;
  explicit made(std::string p) : path(std::move(p)) {}
  std::string path;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(path);
  }
};
void work(job) {}
void work_made(made) {}

brood::task<> f(std::string path) {
  job item{.path = path};
  made object(path);
  co_await brood::spawn<work>(item).name("worker");
  co_await brood::spawn<work>(brood::moved{item});
  co_await brood::spawn<work_made>(object);
  co_await brood::spawn<work_made>(made(path)).daemon();
  co_await brood::spawn<work_made>(std::move(object));
  co_await brood::with_nursery([&path](brood::nursery&) -> brood::task<> { co_return; });
}
