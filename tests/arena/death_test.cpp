// The clean-up after a death when memory is full, when it is interrupted, and after long chains of objects.
#include <cstdlib>
#include <memory>
#include <vector>

#include "brood/arena/arena.hpp"
#include "brood/channel/queue.hpp"
#include "brood/sync/lock.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace brood;
using brood::test::memory;

namespace {

/// Takes blocks of falling size until there is no room for the smallest.
void fill_arena() {
  arena& all = family_memory::get();
  for (std::uint64_t size = 1 << 20; size > 16; size /= 2) {
    try {
      for (;;) all.heap.allocate(size, detail::buffer_block, all.heap.take_cell(), detail::held::block);
    } catch (const arena_full&) {
    }
  }
}

/// Each in a message of the next; gives the last.
std::shared_ptr<detail::queue_core> chain_of_queues(int length) {
  arena& all = family_memory::get();
  std::shared_ptr<detail::queue_core> last = detail::queue_core::create(all, 1, 8);
  for (int i = 1; i < length; ++i) {
    auto outer = detail::queue_core::create(all, 1, 8);
    detail::outgoing_message message;
    message.fill(all, outer->inline_bytes(), [&last](std::span<std::byte>) {
      detail::travelling_objects::note(last);
      return std::size_t{8};
    });
    if (outer->put(message) != detail::put_outcome::done) std::abort();
    last = std::move(outer);
  }
  return last;
}

void clean_up_after_orphans(int expected) {
  int found = 0;
  while (const auto left = family_memory::next_orphan()) {
    CHECK(left->pid == 0);
    family_memory::on_death(left->id);
    ++found;
  }
  CHECK(found == expected);
}

}  // namespace

TEST_CASE("the clean-up after a parent of sixty, killed when the arena was full, needs no memory") {
  const memory m(1 << 20);
  constexpr int grandchildren = 40;  // the table of so small an arena has 64 places
  test::child parent([] {
    for (int i = 0; i < grandchildren; ++i) family_memory::reserve_slot();
    fill_arena();
    ::kill(::getpid(), SIGKILL);
  });
  // This process has no cell to spare either.
  arena& all = family_memory::get();
  std::vector<detail::word*> cells;
  for (unsigned i = 0; i < detail::inline_cells; ++i) cells.push_back(&all.heap.take_cell());
  CHECK(parent.join() == -SIGKILL);
  clean_up_after_orphans(grandchildren);
  CHECK(all.statistics().processes == 1);
  for (detail::word* cell : cells) all.heap.return_cell(*cell);
}

TEST_CASE("leases that came back to a queue nobody has any more are freed without a cell") {
  memory m(1 << 20);
  arena& all = family_memory::get();
  std::vector<detail::word*> cells;
  {
    const queue<int> q(100);
    for (int i = 0; i < 100; ++i) REQUIRE(q.try_put(i));
    test::child consumer([&q] {
      test::in_loop([&q]() -> task<> {
        std::vector<lease<int>> leases;
        for (int i = 0; i < 30; ++i) leases.push_back(co_await q.get_leased());
        ::kill(::getpid(), SIGKILL);
      });
    });
    CHECK(consumer.join() == -SIGKILL);
    for (unsigned i = 0; i < detail::inline_cells - 1; ++i) cells.push_back(&all.heap.take_cell());
  }
  for (detail::word* cell : cells) all.heap.return_cell(*cell);
}

TEST_CASE("a chain of queues goes with the dead process that had its end") {
  const memory m;
  test::child owner([] {
    const auto last = chain_of_queues(3'000);
    ::kill(::getpid(), SIGKILL);
  });
  CHECK(owner.join() == -SIGKILL);
}

TEST_CASE("one who was being cleaned up after when that was interrupted is cleaned up after by the next") {
  memory m;
  const lock l = test::made<lock>();
  int link[2];
  REQUIRE(::pipe(link) == 0);
  process_id inner_id;
  test::child middle([&] {
    test::child inner([&] {
      test::in_loop([&]() -> task<> {
        const auto held = co_await l.acquire();
        ::kill(::getpid(), SIGKILL);
      });
    });
    int status = 0;
    ::waitpid(inner.pid(), &status, 0);
    // As `on_death` when it is killed after its first step.
    auto& state = family_memory::get().map.slot_at(inner.id().slot).state;
    state.store((state.load() & 0xffffffff00000000) | static_cast<std::uint64_t>(detail::slot_state::dead));
    const process_id id = inner.id();
    if (::write(link[1], &id, sizeof id) != sizeof id) ::_exit(2);
    ::kill(::getpid(), SIGKILL);
  });
  REQUIRE(::read(link[0], &inner_id, sizeof inner_id) == sizeof inner_id);
  CHECK(middle.join() == -SIGKILL);
  CHECK(l.locked());
  const auto left = family_memory::next_orphan();
  REQUIRE(left);
  CHECK(left->ended);  // its pid may be anybody's by now
  CHECK(left->id == inner_id);
  family_memory::on_death(left->id);
  CHECK_FALSE(family_memory::next_orphan());
  CHECK_FALSE(l.locked());
  ::close(link[0]);
  ::close(link[1]);
}
