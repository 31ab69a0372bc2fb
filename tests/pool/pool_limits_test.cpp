// Many workers, many tasks; afterwards everything is as before.
#include <numeric>

#include "brood/channel/queue.hpp"
#include "pools.hpp"

using namespace pools;

namespace {

std::size_t count_bytes(const std::vector<char>& bytes) { return bytes.size(); }
std::vector<char> bytes(std::size_t size) { return std::vector<char>(size, 'b'); }

brood::task<int> sum_in_a_pool_of_its_own(int count) {
  auto pool = co_await brood::pool::open(2);
  const auto all = co_await pool.map<square>(numbers(count));
  co_await pool.close();
  co_return std::accumulate(all.begin(), all.end(), 0);
}

}  // namespace

TEST_CASE("a thousand workers") {
  run_balanced([]() -> brood::task<> {
    const int workers = many(1000);
    auto pool = co_await brood::pool::open(workers);
    CHECK(pool.stats().workers == static_cast<std::uint32_t>(workers));
    const auto square_results = co_await pool.map<square>(numbers(20'000)).chunk(1);
    CHECK(square_results == squares(20'000));
    const auto second_square_results = co_await pool.map<square>(numbers(20'000));
    CHECK(second_square_results == squares(20'000));
    co_await pool.close();
  });
}

TEST_CASE("a million tasks") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(4);
    const int count = sanitized ? 100'000 : 1'000'000;
    const bool equal = co_await pool.map<square>(numbers(count)).chunk(1) == squares(count);
    CHECK(equal);
    CHECK(pool.stats().tasks_done == static_cast<std::uint64_t>(count));
    co_await pool.close();
  });
}

TEST_CASE("a hundred thousand futures") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    std::vector<brood::future<int>> all;
    for (int i = 0; i < 100'000; ++i) all.push_back(pool.submit<square>(i));
    bool equal = true;
    for (int i = 0; i < 100'000; ++i) equal = equal && co_await all[static_cast<std::size_t>(i)] == square(i);
    CHECK(equal);
    co_await pool.close();
  });
}

TEST_CASE("items and results of many megabytes") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const std::vector<std::vector<char>> items(6, std::vector<char>(20'000'000, 'i'));
    const auto sizes = co_await pool.map<count_bytes>(items);
    for (const std::size_t size : sizes) CHECK(size == 20'000'000);
    auto stream = pool.imap<bytes>(std::vector<std::size_t>(10, 20'000'000)).window(2);
    int blocks = 0;
    while (const auto next = co_await stream.next()) blocks += next->size() == 20'000'000 ? 1 : 0;
    CHECK(blocks == 10);
    co_await pool.close();
  });
}

TEST_CASE("an argument and a result of 100 MiB") {
  run_balanced([]() -> brood::task<> {
    constexpr std::size_t size = std::size_t{100} << 20;
    auto pool = co_await brood::pool::open(1);
    const auto result = co_await pool.apply<bytes>(size);
    CHECK(result.size() == size);
    CHECK(result.front() == 'b');
    CHECK(result.back() == 'b');
    const auto count_bytes_result = co_await pool.apply<count_bytes>(result);
    CHECK(count_bytes_result == size);
    co_await pool.close();
  });
}

TEST_CASE("ten thousand tasks of workers that may run one each") {
  run_balanced([]() -> brood::task<> {
    const int tasks = many(10'000);
    auto pool = co_await brood::pool::open(4).max_tasks_per_worker(1);
    const auto pids = co_await pool.map<pid_of_worker>(numbers(tasks));
    CHECK(pids.size() == static_cast<std::size_t>(tasks));
    CHECK(pool.stats().workers_started >= static_cast<std::uint64_t>(tasks));
    CHECK(pool.stats().workers_died == 0);
    CHECK(pool.stats().tasks_lost == 0);
    co_await pool.close();
  });
}

TEST_CASE("a pool in a worker of a pool") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const std::vector<int> counts(3, 4);
    const std::vector<int> expected(3, 0 + 1 + 4 + 9);
    const auto sum_in_a_pool_of_its_own_results = co_await pool.map<sum_in_a_pool_of_its_own>(counts);
    CHECK(sum_in_a_pool_of_its_own_results == expected);
    co_await pool.close();
  });
}
