// Queue, pipe, events and manager together: the fourth program of Python's multiprocessing tutorial.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <brood/brood.hpp>
#include <chrono>
#include <string>
#include <utility>

using numbers = brood::connection<int, int>;
using shared_dict = brood::managed::dict<std::string, int>;
using shared_list = brood::managed::list<std::string>;
using brood::event;

brood::task<> receive_ten(const char* name, numbers from) {
  for (int i = 0; i < 10; ++i) {
    const int received = co_await from.recv();
    fmt::print("{} received {}\n", name, received);
  }
}

brood::task<> a(brood::queue<int> queue, numbers pipe, event a_sent, event b_sent, shared_dict dict,
                shared_list list) {
  for (int i = 0; i < 10; ++i) {
    const int item = co_await queue.get();
    fmt::print("A took {}\n", item);
  }
  for (int i = 20; i < 30; ++i) co_await pipe.send(i);
  a_sent.set();
  co_await b_sent.wait();
  co_await receive_ten("A", pipe);
  co_await dict.set("1", 1);
  co_await list.append("2");
}

brood::task<> b(brood::queue<int> queue, numbers pipe, event a_sent, event b_sent, shared_dict dict,
                shared_list list) {
  for (int i = 0; i < 10; ++i) co_await queue.put(i);
  for (int i = 40; i < 50; ++i) co_await pipe.send(i);
  b_sent.set();
  co_await a_sent.wait();
  co_await receive_ten("B", pipe);
  co_await dict.set("2", 2);
  co_await list.append("2");
}

brood::task<> app() {
  const auto begin = std::chrono::steady_clock::now();
  auto manager = co_await brood::manager::start();
  auto dict = co_await manager.dict<std::string, int>();
  auto list = co_await manager.list<std::string>();
  const event a_sent;
  const event b_sent;
  const brood::queue<int> queue;
  const auto [end_of_a, end_of_b] = brood::pipe<int>();

  auto first = co_await brood::spawn<a>(queue, end_of_a, a_sent, b_sent, dict, list);
  auto second = co_await brood::spawn<b>(queue, end_of_b, a_sent, b_sent, dict, list);
  co_await first.result();
  co_await second.result();

  auto items = co_await dict.items();
  std::sort(items.begin(), items.end());
  fmt::print("{{");
  for (const auto& [key, value] : items)
    fmt::print("{}\"{}\": {}", key == items.front().first ? "" : ", ", key, value);
  const auto elements = co_await list.items();
  fmt::print("}}\n[\"{}\"]\n", fmt::join(elements, "\", \""));
  fmt::print("{:.3f} s\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  co_await manager.shutdown();
}

int main(int argc, char** argv) { return brood::run(argc, argv, app); }
