// A pool of four that is given eight tasks, then closed and joined.
#include <fmt/core.h>
#include <unistd.h>

#include <brood/brood.hpp>
#include <vector>

void work(int number) { fmt::print("task {} in {}\n", number, brood::current_process().name()); }

brood::task<> app() {
  auto pool = co_await brood::pool::open(4);
  std::vector<brood::future<void>> tasks;
  for (int i = 0; i < 8; ++i) tasks.push_back(pool.submit<work>(i));
  co_await pool.close();  // waits for the tasks, and then for the workers
  fmt::print("all {} done\n", tasks.size());
}

int main(int argc, char** argv) { return brood::run(argc, argv, app); }
