// A full arena, at every operation of every primitive: `arena_full` or success, nothing is lost, and the next operation works.
#include <chrono>
#include <string>
#include <vector>

#include "arena_use.hpp"
#include "brood/channel/pipe.hpp"
#include "brood/channel/queue.hpp"
#include "brood/channel/shared_buffer.hpp"
#include "brood/channel/shared_fd.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/sync/barrier.hpp"
#include "brood/sync/condition.hpp"
#include "brood/sync/event.hpp"
#include "brood/sync/lock.hpp"
#include "brood/sync/rlock.hpp"
#include "brood/sync/semaphore.hpp"
#include "catch.hpp"

using namespace brood;
using namespace std::chrono_literals;
using detail::held;
using detail::word;

namespace {

/// Takes all of the arena but a block of `left` bytes, and with `tables` also the cells and wait entries that this process
/// has in stock. Names its blocks in a block of its own, as they need no cells then.
class full_arena {
 public:
  full_arena(std::uint64_t left, bool tables)
      : memory_(family_memory::get()), ledger_cell_(memory_.heap.take_cell()) {
    constexpr std::uint64_t names = 7000;
    const auto ledger =
        memory_.heap.allocate(names * sizeof(word), detail::storage_block, ledger_cell_, held::block, true);
    words_ = std::span(&memory_.map.state_at<word>(ledger), names);
    word& gap = words_.back();
    if (left != 0)
      memory_.heap.allocate(left - sizeof(detail::block_header), detail::storage_block, gap, held::block);
    for (std::uint64_t size = 512 * 1024; size >= 64; size /= 2) fill(size);
    if (tables) empty_tables();
    if (left != 0) memory_.heap.release(detail::cell_reference(gap.load()), gap);
  }
  ~full_arena() {
    for (word& w : words_) {
      if (w.load() != 0) memory_.heap.release(detail::cell_reference(w.load()), w);
    }
    for (detail::wait_entry* e : entries_) memory_.wakes.return_wait_entry(*e);
    for (word* c : cells_) memory_.heap.return_cell(*c);
    memory_.heap.release(detail::cell_reference(ledger_cell_.load()), ledger_cell_);
    memory_.heap.return_cell(ledger_cell_);
  }
  full_arena(const full_arena&) = delete;
  full_arena& operator=(const full_arena&) = delete;

 private:
  void fill(std::uint64_t size) {
    try {
      for (;;) {
        REQUIRE(used_ + 1 < words_.size());
        memory_.heap.allocate(size, detail::storage_block, words_[used_], held::block);
        ++used_;
      }
    } catch (const arena_full&) {
    }
  }
  void empty_tables() {
    try {
      for (;;) cells_.push_back(&memory_.heap.take_cell());
    } catch (const arena_full&) {
    }
    try {
      for (;;) entries_.push_back(&memory_.wakes.take_wait_entry(nobody_));
    } catch (const arena_full&) {
    }
  }

  arena& memory_;
  word& ledger_cell_;
  std::span<word> words_;
  std::size_t used_ = 0;
  detail::waiter nobody_{[](detail::waiter&) noexcept {}};
  std::vector<word*> cells_;
  std::vector<detail::wait_entry*> entries_;
};

/// `World` is made, then `act` is called with the arena full and again with room, then `World::verify` says what must be.
/// Gives how often the arena was too full.
template <class World>
int try_full() {
  int refused = 0;
  for (const bool tables : {false, true}) {
    for (const std::uint64_t left : {0u, 128u, 192u, 256u, 512u, 1024u, 2048u, 4096u, 16384u, 65536u}) {
      CAPTURE(tables, left);
      family_memory::create(1 << 20);
      {
        runtime loop;
        auto body = [&]() -> task<> {
          const auto before = blocks_in_use();
          {
            World world;
            co_await world.prepare();
            {
              const full_arena full(left, tables);
              try {
                co_await world.act();
              } catch (const arena_full&) {
                ++refused;
              }
            }
            co_await world.act();
            co_await world.verify();
          }
          CHECK(blocks_in_use() == before);
        };
        loop.run_until_complete(body());
      }
      family_memory::detach();
    }
  }
  return refused;
}

struct nothing_to_prepare {
  task<> prepare() { co_return; }
  task<> verify() { co_return; }
};

template <class Operation>
task<> until_timeout(Operation operation) {
  try {
    co_await with_timeout(1ms, std::move(operation));
  } catch (const timed_out&) {
  }
}

// ---- queues ----

struct puts_small {
  queue<int> q{unbounded()};
  int put = 0;
  task<> prepare() {
    for (; put < 64; ++put) CHECK(q.try_put(put));  // its ring is full
    co_return;
  }
  task<> act() {
    co_await q.put(put);
    ++put;
  }
  task<> verify() {
    CHECK(q.size() == static_cast<std::uint64_t>(put));
    for (int i = 0; i < put; ++i) {
      const int got = co_await q.get();
      REQUIRE(got == i);
    }
  }
};

struct puts_large {
  queue<std::string> q{unbounded()};
  int put = 0;
  static std::string item(int n) { return std::string(1000, 'x') + std::to_string(n); }
  task<> prepare() {
    CHECK(q.empty());
    co_return;
  }
  task<> act() {
    const std::string next = item(put);
    co_await q.put(next);
    ++put;
  }
  task<> verify() {
    CHECK(q.size() == static_cast<std::uint64_t>(put));
    for (int i = 0; i < put; ++i) {
      const std::string got = co_await q.get();
      REQUIRE(got == item(i));
    }
  }
};

struct puts_handles {
  queue<lock> q{unbounded()};
  lock named;
  std::uint64_t put = 0;
  task<> prepare() {
    CHECK(q.empty());
    CHECK_FALSE(named.locked());
    co_return;
  }
  task<> act() {
    co_await q.put(named);
    ++put;
  }
  task<> verify() {
    CHECK(q.size() == put);
    const lock got = co_await q.get();
    CHECK(got == named);
  }
};

struct puts_many {
  queue<int> q{unbounded()};
  std::vector<int> items;
  task<> prepare() {
    for (int i = 0; i < 300; ++i) items.push_back(i);
    CHECK(q.empty());
    co_return;
  }
  task<> act() { co_await q.put_many(items); }
  task<> verify() {
    const auto first =
        static_cast<int>(q.size() - items.size());  // those that the refused call had put before
    CHECK((first >= 0 && first <= 300));
    for (int i = 0; i < first; ++i) CHECK(q.try_get() == i);
    for (const int i : items) CHECK(q.try_get() == i);
    co_return;
  }
};

template <int count>
struct gets {
  queue<int> q{unbounded()};
  int got = 0;
  task<> prepare() {
    for (int i = 0; i < count; ++i) CHECK(q.try_put(i));
    for (; got < count - 2; ++got) CHECK(q.try_get() == got);
    co_return;
  }
  task<> act() {
    const int next = co_await q.get();
    CHECK(next == got);
    ++got;
  }
  task<> verify() {
    for (; got < count; ++got) CHECK(q.try_get() == got);
    CHECK(q.empty());
    co_return;
  }
};

struct gets_large {
  queue<std::string> q{unbounded()};
  int got = 0;
  task<> prepare() {
    for (int i = 0; i < 3; ++i) CHECK(q.try_put(puts_large::item(i)));
    co_return;
  }
  task<> act() {
    const std::string next = co_await q.get();
    CHECK(next == puts_large::item(got));
    ++got;
  }
  task<> verify() {
    for (; got < 3; ++got) CHECK(q.try_get() == puts_large::item(got));
    co_return;
  }
};

template <bool done>
struct leases {
  queue<int> q{unbounded()};
  int got = 0;
  task<> prepare() {
    for (int i = 0; i < 3; ++i) CHECK(q.try_put(i));
    co_return;
  }
  task<> act() {
    auto held_item = co_await q.get_leased();
    CHECK(*held_item == got);
    if (!done) co_return;
    held_item.done();
    ++got;
  }
  task<> verify() {
    for (; got < 3; ++got) CHECK(q.try_get() == got);
    CHECK(q.empty());
    co_return;
  }
};

struct waits_to_get {
  queue<int> q{unbounded()};
  task<> prepare() {
    CHECK(q.empty());
    co_return;
  }
  task<> act() { co_await until_timeout(q.get()); }
  task<> verify() {
    CHECK(q.waiting_consumers() == 0);
    CHECK(q.try_put(1));
    CHECK(q.try_get() == 1);
    co_return;
  }
};

struct waits_to_put {
  queue<int> q{1};
  task<> prepare() {
    CHECK(q.try_put(1));
    co_return;
  }
  task<> act() { co_await until_timeout(q.put(2)); }
  task<> verify() {
    CHECK(q.waiting_producers() == 0);
    CHECK(q.size() == 1);
    CHECK(q.try_get() == 1);
    co_return;
  }
};

struct waits_to_join {
  queue<int> q{1};
  task<> prepare() {
    CHECK(q.try_put(1));
    co_return;
  }
  task<> act() { co_await until_timeout(q.join()); }
  task<> verify() {
    CHECK(q.try_get() == 1);
    q.task_done();
    co_await q.join();
  }
};

template <class Handle>
struct makes : nothing_to_prepare {
  task<> act() {
    const Handle made;
    const Handle copied(made);  // names it, so it is made
    CHECK(made == copied);
    co_return;
  }
};

struct makes_a_semaphore : nothing_to_prepare {
  task<> act() {
    const semaphore made(2);
    const std::uint64_t value = made.value();
    CHECK(value == 2);
    co_return;
  }
};

struct makes_a_buffer : nothing_to_prepare {
  task<> act() {
    const shared_buffer made(5000);
    CHECK(made.size() == 5000);
    co_return;
  }
};

struct makes_a_shared_fd : nothing_to_prepare {
  task<> act() {
    const shared_fd made = shared_fd::copy_of(0);
    const unique_fd opened = co_await made.open();
    CHECK(opened);
  }
};

struct makes_a_pipe : nothing_to_prepare {
  task<> act() {
    auto [a, b] = pipe<std::string>();
    const std::string words = "words";
    co_await a.send(words);
    const std::string got = co_await b.recv();
    CHECK(got == words);
  }
};

// ---- locks and their kind ----

template <class Lock>
struct acquires {
  Lock l;
  task<> prepare() {
    CHECK_FALSE(l.locked());
    co_return;
  }
  task<> act() {
    const auto guard = co_await l.acquire();
    CHECK(l.locked());
  }
  task<> verify() {
    CHECK_FALSE(l.locked());
    co_return;
  }
};

struct waits_for_a_lock {
  lock l;
  task<> prepare() {
    CHECK_FALSE(l.locked());
    co_return;
  }
  task<> act() {
    const auto guard = l.try_acquire();
    if (!guard) throw std::logic_error("the lock was not given back");
    co_await until_timeout(l.acquire());
  }
  task<> verify() {
    CHECK_FALSE(l.locked());
    co_return;
  }
};

struct acquires_a_permit {
  semaphore s{1};
  task<> prepare() {
    CHECK(s.value() == 1);
    co_return;
  }
  task<> act() {
    const auto permit = co_await s.acquire();
    CHECK(s.value() == 0);
    co_await until_timeout(s.acquire());
  }
  task<> verify() {
    CHECK(s.value() == 1);
    co_return;
  }
};

struct waits_for_an_event {
  event e;
  task<> prepare() {
    CHECK_FALSE(e.is_set());
    co_return;
  }
  task<> act() { co_await until_timeout(e.wait()); }
  task<> verify() {
    e.set();
    co_await e.wait();
  }
};

struct waits_for_notice {
  condition c;
  task<> prepare() {
    CHECK_FALSE(c.lock().locked());
    const condition made(c);
    co_return;
  }
  task<> act() {
    auto guard = c.lock().try_acquire();
    if (!guard) throw std::logic_error("the lock was not given back");
    co_await until_timeout(c.wait(*guard));
  }
  task<> verify() {
    CHECK_FALSE(c.lock().locked());
    co_return;
  }
};

struct arrives {
  barrier b{2};
  task<> prepare() {
    const barrier made(b);
    co_return;
  }
  task<> act() {
    b.reset();  // who gives up breaks it
    co_await until_timeout(b.arrive());
  }
  task<> verify() {
    b.reset();
    CHECK_FALSE(b.broken());
    co_return;
  }
};

}  // namespace

TEST_CASE("a full arena: queues") {
  if (family_memory::exists()) family_memory::detach();
  CHECK(try_full<makes<queue<int>>>() > 0);
  CHECK(try_full<puts_small>() > 0);
  CHECK(try_full<puts_large>() > 0);
  CHECK(try_full<puts_handles>() > 0);
  CHECK(try_full<puts_many>() > 0);
  CHECK(try_full<gets<3>>() == 0);
  CHECK(try_full<gets<66>>() > 0);  // the next item is in another ring
  CHECK(try_full<gets_large>() > 0);
  CHECK(try_full<leases<true>>() > 0);
  CHECK(try_full<leases<false>>() > 0);
  CHECK(try_full<waits_to_get>() > 0);
  CHECK(try_full<waits_to_put>() > 0);
  CHECK(try_full<waits_to_join>() > 0);
}

TEST_CASE("a full arena: pipes, buffers and descriptors") {
  if (family_memory::exists()) family_memory::detach();
  CHECK(try_full<makes_a_pipe>() > 0);
  CHECK(try_full<makes_a_buffer>() > 0);
  CHECK(try_full<makes_a_shared_fd>() > 0);
}

TEST_CASE("a full arena: locks, semaphores and events") {
  if (family_memory::exists()) family_memory::detach();
  CHECK(try_full<makes<lock>>() > 0);
  CHECK(try_full<makes<rlock>>() > 0);
  CHECK(try_full<makes<event>>() > 0);
  CHECK(try_full<makes<condition>>() > 0);
  CHECK(try_full<makes_a_semaphore>() > 0);
  CHECK(try_full<acquires<lock>>() > 0);
  CHECK(try_full<acquires<rlock>>() > 0);
  CHECK(try_full<waits_for_a_lock>() > 0);
  CHECK(try_full<acquires_a_permit>() > 0);
  CHECK(try_full<waits_for_an_event>() > 0);
  CHECK(try_full<waits_for_notice>() > 0);
  CHECK(try_full<arrives>() > 0);
}
