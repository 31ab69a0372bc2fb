// The manager's dict, set, list and value. (_TestContainers, TestSyncManagerTypes)
#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "brood/coroutine/nursery.hpp"
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

/// Cannot be encoded.
struct stubborn {
  template <class Archive>
  void save(Archive&) const {
    throw std::domain_error("stubborn");
  }
  template <class Archive>
  void load(Archive&) {}
};

/// A list that can hold itself.
struct ring {
  brood::managed::list<ring> next;
};

task<> append_many(brood::managed::list<int> l, int count) {
  for (int i = 0; i < count; ++i) co_await l.append(i);
}

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

TEST_CASE("parts of a list are replaced, equal ones counted, removed, an element updated in one step") {
  served([](manager m) -> task<> {
    const std::vector<int> first{0, 1, 2, 3, 4, 1};
    auto l = co_await m.list<int>(first);
    const std::size_t ones = co_await l.count(1);
    CHECK(ones == 2);
    const bool removed = co_await l.remove(1);
    const bool not_there = co_await l.remove(7);
    CHECK(removed);
    CHECK_FALSE(not_there);
    const std::array<int, 3> more{7, 8, 9};
    co_await l.replace(1, 3, more);
    const auto replaced = co_await l.items();
    CHECK(replaced == std::vector<int>{0, 7, 8, 9, 4, 1});
    co_await l.replace(-2, 100, std::vector<int>());
    const std::array<int, 1> one{5};
    co_await l.replace(3, 1, one);  // an empty slice: inserts
    const auto cut = co_await l.items();
    CHECK(cut == std::vector<int>{0, 7, 8, 5, 9});
    const int updated = co_await l.update<doubled>(-1, 2);
    CHECK(updated == 20);
    co_await l.sort();
    const auto sorted = co_await l.items();
    CHECK(sorted == std::vector<int>{0, 5, 7, 8, 20});
    co_await l.sort(std::greater<>());
    const int largest = co_await l.at(0);
    CHECK(largest == 20);
  });
}

TEST_CASE("to sort loses nothing that others append meanwhile") {
  served_by_a_child([](manager m) -> task<> {
    auto l = co_await m.list<int>();
    auto child = co_await brood::spawn<append_many>(l, 200);
    for (std::size_t size = 0; size < 200; size = co_await l.size()) co_await l.sort(std::greater<>());
    co_await l.sort();
    co_await child.result();
    const auto all = co_await l.items();
    bool right = all.size() == 200;
    for (std::size_t i = 0; right && i < 200; ++i) right = all[i] == static_cast<int>(i);
    CHECK(right);
  });
}

TEST_CASE("an array has the size it was made with") {
  served([](manager m) -> task<> {
    auto a = co_await m.array<double>(3);
    co_await a.set(-1, 1.5);
    const auto items = co_await a.items();
    CHECK(items == std::vector<double>{0, 0, 1.5});
    const std::string beyond = co_await error_of(a.set(3, 1));
    CHECK(beyond == "remote std::out_of_range");
    const strings first{"a", "b"};
    auto named = co_await m.array<std::string>(first, "names");
    auto same = co_await m.array<std::string>(5, "names");
    const std::size_t size = co_await same.size();
    CHECK(size == 2);
    CHECK(named == same);
    const std::string a_list = co_await error_of(m.list<std::string>("names"));
    CHECK(a_list == "brood::call_refused");
  });
}

TEST_CASE("a name space keeps values of any types by their names") {
  served([](manager m) -> task<> {
    auto n = co_await m.name_space();
    co_await n.set("limit", 5);
    co_await n.set("who", "ann");
    auto l = co_await m.list<int>();
    co_await n.set("numbers", l);
    const int limit = co_await n.get<int>("limit");
    CHECK(limit == 5);
    const auto who = co_await n.get<std::string>("who");
    CHECK(who == "ann");
    const auto kept = co_await n.get<brood::managed::list<int>>("numbers");
    CHECK(kept == l);
    const std::string other_type = co_await error_of(n.get<unsigned>("limit"));
    CHECK(other_type == "brood::decode_error");
    const std::string missing = co_await error_of(n.get<int>("none"));
    CHECK(missing == "remote std::out_of_range");
    co_await n.set("limit", 2.5);  // as another type from now on
    const double real = co_await n.get<double>("limit");
    CHECK(real == 2.5);
    const strings names = co_await n.names();
    CHECK(names == strings{"limit", "who", "numbers"});
    const bool erased = co_await n.erase("who");
    const bool there = co_await n.contains("who");
    CHECK(erased);
    CHECK_FALSE(there);
  });
}

TEST_CASE("a walk along a list sees what is changed and appended meanwhile") {
  served([](manager m) -> task<> {
    const strings first{"a", "b"};
    auto l = co_await m.list<std::string>(first);
    auto walk = l.each();
    const auto one = co_await walk.next();
    CHECK(one == "a");
    co_await l.set(1, "changed");
    co_await l.append("c");
    const auto two = co_await walk.next();
    const auto three = co_await walk.next();
    const auto end = co_await walk.next();
    CHECK(two == "changed");
    CHECK(three == "c");
    CHECK_FALSE(end);
    auto numbers = co_await m.list<int>();
    co_await append_many(numbers, 10);
    for (const std::size_t at_a_time : {0u, 1u, 3u, 10u, 100u}) {
      int sum = 0;
      auto all = numbers.each(at_a_time);
      while (auto n = co_await all.next()) sum = 10 * sum % 999'983 + *n;
      CHECK(sum == 123456789 % 999'983);
    }
  });
}

TEST_CASE("a walk along a dict sees what is set meanwhile, and ends where keys come or go") {
  served([](manager m) -> task<> {
    auto d = co_await m.dict<std::string, int>();
    for (const char key : {'a', 'b', 'c'}) co_await d.set(std::string(1, key), key - 'a');
    auto walk = d.each();
    const auto one = co_await walk.next();
    CHECK(one == std::pair<std::string, int>("a", 0));
    co_await d.set("b", 10);
    const auto two = co_await walk.next();
    CHECK(two == std::pair<std::string, int>("b", 10));
    co_await d.set("d", 3);
    const std::string grown = co_await error_of(walk.next());
    CHECK(grown == "remote std::runtime_error");
    const auto end = co_await walk.next();
    CHECK_FALSE(end);

    // One that goes, and one that comes in its place.
    auto again = d.each();
    co_await again.next();
    co_await d.erase("a");
    co_await d.set("e", 4);
    const std::string swapped = co_await error_of(again.next());
    CHECK(swapped == "remote std::runtime_error");
    for (const std::size_t at_a_time : {1u, 2u, 100u}) {
      pairs all;
      auto each = d.each(at_a_time);
      while (auto item = co_await each.next()) all.push_back(*item);
      CHECK(all == pairs{{"b", 10}, {"c", 2}, {"d", 3}, {"e", 4}});
    }

    auto s = co_await m.set<int>();
    const std::vector<int> first{3, 1, 2};
    co_await s.update(first);
    std::vector<int> seen;
    auto elements = s.each(2);
    while (auto element = co_await elements.next()) seen.push_back(*element);
    CHECK(seen == first);
    auto broken = s.each();
    co_await broken.next();
    co_await s.add(9);
    const std::string changed = co_await error_of(broken.next());
    CHECK(changed == "remote std::runtime_error");
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

TEST_CASE("a list of lists shares them; one that holds itself goes with its last handle") {
  served_by_a_child([](manager m) -> task<> {
    const std::size_t none = co_await m.objects();
    CHECK(none == 0);
    {
      using inner = brood::managed::list<int>;
      auto outer = co_await m.list<inner>();
      for (int i = 0; i < 3; ++i) {
        auto l = co_await m.list<int>();
        co_await l.append(i);
        co_await outer.append(l);
      }
      auto second = co_await outer.at(1);
      co_await second.append(42);
      const auto last = co_await outer.pop();
      const auto numbers = co_await last.items();
      CHECK(numbers == std::vector<int>{2});
      const auto through = co_await outer.at(1);
      const auto seen = co_await through.items();
      CHECK(seen == std::vector<int>{1, 42});
      const std::size_t four = co_await m.objects();
      CHECK(four == 4);
    }
    const std::size_t left = co_await m.objects();
    CHECK(left == 0);
    {
      auto own = co_await m.list<ring>();
      const ring to_itself{own};
      co_await own.append(to_itself);
      const ring got = co_await own.at(0);
      CHECK(got.next == own);
    }
    const std::size_t rings = co_await m.objects();
    CHECK(rings == 0);
  });
}

TEST_CASE("what cannot be encoded fails here, what fails there leaves nothing behind") {
  served_by_a_child([](manager m) -> task<> {
    auto d = co_await m.dict<int, stubborn>();
    const stubborn s;
    CHECK_THROWS_AS(static_cast<void>(d.set(1, s)), std::domain_error);
    auto n = co_await m.dict<int, int>();
    for (int i = 0; i < 1000; ++i) {
      const std::string failed = co_await error_of(n.update<always_throws>(i));
      if (failed != "remote std::domain_error") FAIL(failed);
    }
    const std::size_t size = co_await n.size();
    CHECK(size == 0);
    const std::size_t objects = co_await m.objects();
    CHECK(objects == 2);
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

TEST_CASE("far more than any buffer holds is on its way in both directions at once") {
  served_by_a_child([](manager m) -> task<> {
    auto v = co_await m.value<std::string>(std::string(1 << 20, 'x'));
    const std::string other(1 << 20, 'y');
    std::size_t got = 0;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      for (int i = 0; i < 50; ++i) {
        n.start([](brood::managed::value<std::string> from, std::size_t& total) -> task<> {
          const std::string text = co_await from.get();
          total += text.size();
        }(v, got));
        n.start(v.set(other));
      }
      co_return;
    });
    CHECK(got == std::size_t{50} << 20);
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
