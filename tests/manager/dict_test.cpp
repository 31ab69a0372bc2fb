// The manager's dict, set, list and value. (_TestContainers, TestSyncManagerTypes)
#include <array>
#include <map>
#include <string>
#include <vector>

#include "brood/coroutine/when_all.hpp"
#include "brood/process/spawn.hpp"
#include "served.hpp"

using brood::manager;
using brood::task;
using strings = std::vector<std::string>;
using pairs = std::vector<std::pair<std::string, int>>;

namespace {

int doubled(int now, int more) { return 2 * now + more; }
void push(std::vector<int>& now, int more) { now.push_back(more); }
int always_throws(int) { throw std::domain_error("not this value"); }

struct point {
  int x;
  int y;
};

task<> write_in_child(brood::managed::dict<std::string, int> d) { co_await d.set("child", 5); }

}  // namespace

TEST_CASE("constructed and never used") {
  const brood::managed::dict<std::string, int> none;
  CHECK_THROWS_AS(static_cast<void>(none.size()), brood::object_gone);
  const manager nobody;
  CHECK_THROWS_AS(static_cast<void>(nobody.dict<int, int>()), brood::disconnected);
  served([](manager m) -> task<> {
    static_cast<void>(m.list<int>());  // not awaited: nothing is sent
    co_return;
  });
}

TEST_CASE("a dict gets, sets, takes out, and keeps the order in which its keys came") {
  served([](manager m) -> task<> {
    auto d = co_await m.dict<std::string, int>();
    co_await d.set("b", 2);
    co_await d.set("a", 1);
    co_await d.set("b", 3);
    const auto items = co_await d.items();
    CHECK(items == pairs{{"b", 3}, {"a", 1}});
    const auto keys = co_await d.keys();
    CHECK(keys == strings{"b", "a"});
    const auto values = co_await d.values();
    CHECK(values == std::vector<int>{3, 1});
    const auto none = co_await d.get("c");
    CHECK_FALSE(none);
    const int fallback = co_await d.get("c", 9);
    CHECK(fallback == 9);
    const int kept = co_await d.get_or_set("c", 4);
    const int same = co_await d.get_or_set("c", 5);
    CHECK(kept == 4);
    CHECK(same == 4);
    const int one = co_await d.at("a");
    CHECK(one == 1);
    const std::string missing = co_await error_of(d.at("z"));
    CHECK(missing == "remote std::out_of_range");
    const std::string no_pop = co_await error_of(d.pop("z"));
    CHECK(no_pop == "remote std::out_of_range");
    const int popped = co_await d.pop("b");
    CHECK(popped == 3);
    const auto last = co_await d.pop_item();
    CHECK(last.first == "c");
    const bool there = co_await d.contains("a");
    const bool erased = co_await d.erase("a");
    const bool again = co_await d.erase("a");
    CHECK(there);
    CHECK(erased);
    CHECK_FALSE(again);
    const std::map<std::string, int> more{{"x", 1}, {"y", 2}};
    co_await d.update(more);
    const std::size_t size = co_await d.size();
    CHECK(size == 2);
    co_await d.clear();
    const std::size_t empty = co_await d.size();
    CHECK(empty == 0);
  });
}

TEST_CASE("updates of a dict's value are one step") {
  served([](manager m) -> task<> {
    auto d = co_await m.dict<std::string, int>();
    const int before = co_await d.fetch_add("n", 5);
    const int then = co_await d.fetch_add("n", -7);
    CHECK(before == 0);
    CHECK(then == 5);
    const bool wrong = co_await d.compare_exchange("n", 5, 6);
    const bool right = co_await d.compare_exchange("n", -2, 6);
    const bool made = co_await d.compare_exchange("new", std::nullopt, 1);
    const bool not_made = co_await d.compare_exchange("new", std::nullopt, 2);
    const bool removed = co_await d.compare_exchange("new", 1, std::nullopt);
    CHECK_FALSE(wrong);
    CHECK(right);
    CHECK(made);
    CHECK_FALSE(not_made);
    CHECK(removed);
    const int applied = co_await d.update<doubled>("n", 1);
    CHECK(applied == 13);
    const std::string thrown = co_await error_of(d.update<always_throws>("n"));
    CHECK(thrown == "remote std::domain_error");
    const int unchanged = co_await d.at("n");
    CHECK(unchanged == 13);

    auto lists = co_await m.dict<int, std::vector<int>>();
    co_await lists.update<push>(1, 7);
    const auto pushed = co_await lists.update<push>(1, 8);
    CHECK(pushed == std::vector<int>{7, 8});
    auto reals = co_await m.dict<int, double>();
    co_await reals.fetch_add(1, 0.5);
    const double real = co_await reals.fetch_add(1, 0.5);
    CHECK(real == 0.5);
  });
}

TEST_CASE("any codable types are keys and values") {
  served([](manager m) -> task<> {
    auto d = co_await m.dict<point, std::map<std::string, strings>>();
    const point here{1, 2};
    const std::map<std::string, strings> value{{"a", {"b", "c"}}, {"", {}}};
    co_await d.set(here, value);
    const auto found = co_await d.at(here);
    CHECK(found == value);
    const std::string large(5 << 20, 'x');
    auto texts = co_await m.dict<int, std::string>();
    co_await texts.set(1, large);
    const std::string back = co_await texts.at(1);
    CHECK(back == large);
  });
}

TEST_CASE("a list") {
  served([](manager m) -> task<> {
    auto l = co_await m.list<std::string>();
    co_await l.append("b");
    const std::array<std::string, 3> more{"c", "d", "e"};
    co_await l.extend(more);
    co_await l.insert(0, "a");
    co_await l.insert(100, "f");
    co_await l.insert(-1, "between");
    const strings all = co_await l.items();
    CHECK(all == strings{"a", "b", "c", "d", "e", "between", "f"});
    const std::string last = co_await l.at(-1);
    CHECK(last == "f");
    const std::string beyond = co_await error_of(l.at(7));
    CHECK(beyond == "remote std::out_of_range");
    const std::string before = co_await error_of(l.at(-8));
    CHECK(before == "remote std::out_of_range");
    co_await l.set(-2, "x");
    const std::string popped = co_await l.pop();
    const std::string first = co_await l.pop(0);
    CHECK(popped == "f");
    CHECK(first == "a");
    co_await l.erase(1);
    const strings part = co_await l.slice(1, -1);
    CHECK(part == strings{"d", "e"});
    co_await l.reverse();
    const auto where = co_await l.index("b");
    const auto nowhere = co_await l.index("z");
    CHECK(where == 3u);
    CHECK_FALSE(nowhere);
    const strings replaced{"1"};
    co_await l.assign(replaced);
    const std::size_t size = co_await l.size();
    CHECK(size == 1);
    co_await l.clear();
    const std::string empty = co_await error_of(l.pop());
    CHECK(empty == "remote std::out_of_range");
  });
}

TEST_CASE("a set") {
  served([](manager m) -> task<> {
    auto s = co_await m.set<int>();
    const bool added = co_await s.add(3);
    const bool again = co_await s.add(3);
    CHECK(added);
    CHECK_FALSE(again);
    const std::vector<int> more{1, 3, 2};
    co_await s.update(more);
    const auto items = co_await s.items();
    CHECK(items == std::vector<int>{3, 1, 2});
    const bool there = co_await s.contains(1);
    const bool erased = co_await s.erase(1);
    CHECK(there);
    CHECK(erased);
    const int popped = co_await s.pop();
    CHECK(popped == 3);
    const std::size_t size = co_await s.size();
    CHECK(size == 1);
    co_await s.clear();
    const std::string empty = co_await error_of(s.pop());
    CHECK(empty == "remote std::out_of_range");
  });
}

TEST_CASE("a value") {
  served([](manager m) -> task<> {
    auto v = co_await m.value<std::uint8_t>(std::uint8_t{250});
    const int before = co_await v.fetch_add(10);
    const int wrapped = co_await v.get();
    CHECK(before == 250);
    CHECK(wrapped == 4);
    const int exchanged = co_await v.exchange(9);
    CHECK(exchanged == 4);
    const bool wrong = co_await v.compare_exchange(1, 2);
    const bool right = co_await v.compare_exchange(9, 2);
    CHECK_FALSE(wrong);
    CHECK(right);
    auto w = co_await m.value<int>(1);
    co_await w.set(20);
    const int applied = co_await w.update<doubled>(2);
    CHECK(applied == 42);
  });
}

TEST_CASE("handles nest, and what is in a container lives as long as it") {
  served([](manager m) -> task<> {
    using inner = brood::managed::list<int>;
    auto outer = co_await m.dict<std::string, inner>();
    {
      auto l = co_await m.list<int>();
      co_await l.append(1);
      co_await outer.set("l", l);
    }
    auto again = co_await outer.at("l");
    co_await again.append(2);
    const auto seen = co_await outer.at("l");
    const auto numbers = co_await seen.items();
    CHECK(numbers == std::vector<int>{1, 2});
    CHECK(seen == again);
    co_await outer.erase("l");
    const auto kept = co_await again.items();  // this process holds it still
    CHECK(kept == std::vector<int>{1, 2});
  });
}

TEST_CASE("a child writes, and the parent sees it") {
  served_by_a_child([](manager m) -> task<> {
    auto d = co_await m.dict<std::string, int>();
    auto child = co_await brood::spawn<write_in_child>(d);
    co_await child.result();
    const auto found = co_await d.get("child");
    CHECK(found == 5);
  });
}

TEST_CASE("thousands of calls of one process are under way at once, each with its own answer") {
  served_by_a_child([](manager m) -> task<> {
    auto d = co_await m.dict<int, int>();
    std::vector<decltype(d.set(0, 0))> writes;
    for (int i = 0; i < 5000; ++i) writes.push_back(d.set(i, i * i));
    co_await brood::when_all(std::move(writes));
    std::vector<decltype(d.at(0))> reads;
    for (int i = 0; i < 5000; ++i) reads.push_back(d.at(i));
    const std::vector<int> values = co_await brood::when_all(std::move(reads));
    bool right = values.size() == 5000;
    for (int i = 0; right && i < 5000; ++i) right = values[static_cast<std::size_t>(i)] == i * i;
    CHECK(right);
  });
}
