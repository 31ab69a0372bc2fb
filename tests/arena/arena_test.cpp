// The arena: allocation, statistics, hostile references, what a death gives back, attaching.
#include "brood/arena/arena.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

#include "brood/arena/detail/wait_list.hpp"
#include "brood/arena/family_memory.hpp"
#include "catch.hpp"
#include "child.hpp"

using namespace brood;
using detail::held;
using detail::reference;
using detail::word;

namespace {

struct memory {
  explicit memory(std::size_t bytes = 64 << 20) {
    if (family_memory::exists()) family_memory::detach();
    family_memory::create(bytes);
  }
  ~memory() { family_memory::detach(); }
  arena& operator*() const { return family_memory::get(); }
  arena* operator->() const { return &family_memory::get(); }
};

struct block {
  reference at;
  word* cell;
};

block take(arena& a, std::uint64_t bytes) {
  word& cell = a.heap.take_cell();
  try {
    return {a.heap.allocate(bytes, detail::buffer_block, cell, held::block), &cell};
  } catch (...) {
    a.heap.return_cell(cell);
    throw;
  }
}
void give(arena& a, block b) {
  a.heap.release(b.at, *b.cell);
  a.heap.return_cell(*b.cell);
}

}  // namespace

TEST_CASE("constructed and never used") {
  memory m;
  CHECK(m->statistics().blocks == 0);
  CHECK(m->statistics().bytes_used == 0);
  CHECK(m->statistics().processes == 1);
  CHECK(m->statistics().bytes_resident < 1 << 20);
  CHECK((::fcntl(m->map.fd(), F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW));
  CHECK((::fcntl(m->map.fd(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("test_heap: random allocations keep their contents, and everything comes back") {
  memory m(256 << 20);
  std::mt19937 random(1);
  std::vector<std::pair<block, std::uint64_t>> live;
  const auto size = [&] { return random() % 4 == 0 ? random() % 300'000 : random() % 2'000; };
  for (int i = 0; i < 5000; ++i) {
    if (live.size() > 300 || (random() % 3 == 0 && !live.empty())) {
      std::swap(live[random() % live.size()], live.back());
      const auto [b, bytes] = live.back();
      live.pop_back();
      const auto span = m->heap.payload(b.at, detail::buffer_block);
      REQUIRE(span.size() == bytes);
      REQUIRE(std::all_of(span.begin(), span.end(),
                          [&, v = b.at](std::byte x) { return x == std::byte(v & 0xff); }));
      give(*m, b);
    } else {
      const std::uint64_t bytes = size();
      const block b = take(*m, bytes);
      const auto span = m->heap.payload(b.at, detail::buffer_block);
      REQUIRE(span.size() == bytes);
      std::memset(static_cast<void*>(span.data()), static_cast<int>(b.at & 0xff), span.size());
      live.emplace_back(b, bytes);
    }
  }
  CHECK(m->statistics().blocks >= live.size());
  while (!live.empty()) {
    give(*m, live.back().first);
    live.pop_back();
  }
  const auto s = m->statistics();
  CHECK(s.blocks <= 4);  // the chunks of cells this process asked for
  for (const auto& [bytes, count] : s.classes) CHECK(count <= 4);
}

TEST_CASE("a full arena is a typed error and changes nothing") {
  memory m(8 << 20);
  std::vector<block> all;
  CHECK_THROWS_AS(
      [&] {
        for (;;) all.push_back(take(*m, 100'000));
      }(),
      arena_full);
  const auto before = m->statistics();
  CHECK_THROWS_AS(take(*m, 100'000), arena_full);
  CHECK_THROWS_AS(take(*m, std::uint64_t{1} << 40), arena_full);
  CHECK_THROWS_AS(take(*m, UINT64_MAX - 10), arena_full);
  CHECK(m->statistics().blocks == before.blocks);
  CHECK(m->statistics().bytes_used == before.bytes_used);
  for (const block b : all) give(*m, b);
  // Freed neighbours join again: what was cut into pieces is whole when it is needed.
  const block large = take(*m, 3 << 20);
  give(*m, large);
}

TEST_CASE("pages of large freed blocks go back to the system, beyond a warm reserve") {
  memory m(std::size_t{4} << 30);
  const block b = take(*m, 600 << 20);
  const auto span = m->heap.payload(b.at, detail::buffer_block);
  std::memset(static_cast<void*>(span.data()), 1, span.size());
  CHECK(m->statistics().bytes_resident > std::size_t{600} << 20);
  give(*m, b);
  CHECK(m->statistics().bytes_resident < 2 << 20);
}

TEST_CASE("references from hostile hands name no block") {
  memory m;
  const block small = take(*m, 200);
  const block large = take(*m, 200'000);
  for (const reference r : {small.at, large.at}) {
    CHECK(m->heap.payload(r, detail::buffer_block).size() >= 200);
    CHECK(m->heap.payload(r, detail::message_block).empty());
    CHECK(m->heap.payload(r + 1, detail::buffer_block).empty());
    CHECK(m->heap.payload(r + 7, detail::buffer_block).empty());
  }
  for (const reference r : {0u, 1u, 100u, 0x7fffffffu, 0xffffffffu})
    CHECK(m->heap.payload(r, detail::buffer_block).empty());
  std::mt19937 random(2);
  for (int i = 0; i < 100'000; ++i) {
    const auto r = static_cast<reference>(random());
    if (r != small.at && r != large.at) REQUIRE(m->heap.payload(r, detail::buffer_block).empty());
  }
  word& cell = m->heap.take_cell();
  CHECK_FALSE(m->acquire(small.at, detail::queue_kind, m->heap.generation_of(small.at), cell));
  give(*m, small);
  CHECK(m->heap.payload(small.at, detail::buffer_block).empty());
}

TEST_CASE("what a dead process held comes back, and its slot is used again") {
  memory m;
  const auto before = m->statistics();
  std::uint32_t first = 0;
  for (int i = 0; i < 50; ++i) {
    test::child c([&] {
      for (int n = 0; n < 300; ++n) take(family_memory::get(), n % 10 == 0 ? 100'000 : 500);
      ::kill(::getpid(), SIGKILL);
    });
    if (first == 0) first = c.id().slot;
    CHECK(c.id().slot == first);
    CHECK(c.join() == -SIGKILL);
    const auto after = m->statistics();
    REQUIRE(after.blocks == before.blocks);
    REQUIRE(after.bytes_used == before.bytes_used);
    REQUIRE(after.processes == 1);
  }
}

TEST_CASE("a child that never began, and a report that comes twice") {
  memory m;
  const process_id never = family_memory::reserve_slot();
  CHECK(m->statistics().processes == 2);
  family_memory::on_death(never);
  family_memory::on_death(never);
  family_memory::on_death({});
  family_memory::on_death({1'000'000, 1});
  CHECK(m->statistics().processes == 1);
  CHECK_THROWS_AS(family_memory::adopt_slot(never), std::logic_error);
}

TEST_CASE("a slot that was given out again is not its first process's any more") {
  memory m;
  const process_id gone = family_memory::reserve_slot();
  family_memory::on_death(gone);
  const process_id next = family_memory::reserve_slot();
  REQUIRE(next.slot == gone.slot);
  CHECK_THROWS_AS(family_memory::adopt_slot(gone), std::logic_error);
  CHECK_FALSE(family_memory::note_pid(gone, ::getpid()));
  CHECK(family_memory::pid_of(next) == 0);
  family_memory::on_death(gone);
  CHECK(m->statistics().processes == 2);
  family_memory::on_death(next);
  CHECK(m->statistics().processes == 1);
}

TEST_CASE("grandchildren whose parent died are handed to the one who cleans up") {
  memory m;
  int link[2];
  REQUIRE(::pipe(link) == 0);
  test::child middle([&] {
    test::child grandchild([] { ::pause(); });
    const pid_t pid = grandchild.pid();
    if (::write(link[1], &pid, sizeof pid) != sizeof pid) ::_exit(2);
    ::kill(::getpid(), SIGKILL);
  });
  pid_t grandchild = 0;
  REQUIRE(::read(link[0], &grandchild, sizeof grandchild) == sizeof grandchild);
  CHECK(middle.join() == -SIGKILL);
  const auto left = family_memory::next_orphan();
  REQUIRE(left);
  CHECK_FALSE(left->ended);
  if (left->pid != 0) CHECK(left->pid == grandchild);
  family_memory::watch_orphan(left->id);
  CHECK_FALSE(family_memory::next_orphan());
  ::kill(grandchild, SIGKILL);
  family_memory::on_death(left->id);
  CHECK(m->statistics().processes == 1);
  ::close(link[0]);
  ::close(link[1]);
}

TEST_CASE("an attached mapping at another address sees the same blocks") {
  memory m;
  const block b = take(*m, 1000);
  std::strcpy(reinterpret_cast<char*>(m->heap.payload(b.at, detail::buffer_block).data()), "hello");
  const auto other = arena::attach(::fcntl(m->map.fd(), F_DUPFD_CLOEXEC, 0));
  CHECK(other->map.base() != m->map.base());
  CHECK(std::string(reinterpret_cast<char*>(other->heap.payload(b.at, detail::buffer_block).data())) ==
        "hello");
  CHECK_THROWS_AS(other->reserve_slot(), std::logic_error);  // it has no slot of its own yet
}

TEST_CASE("a descriptor that is no arena is refused") {
  const int plain = ::memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  REQUIRE(::ftruncate(plain, 4 << 20) == 0);
  CHECK_THROWS_AS(arena::attach(::dup(plain)), error);
  REQUIRE(::fcntl(plain, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
  CHECK_THROWS_AS(arena::attach(::dup(plain)), error);
  ::close(plain);
}

TEST_CASE("a section whose holder was killed is taken over, its transaction done whole or not at all") {
  memory m;
  word& cell = m->heap.take_cell();
  auto* shared = reinterpret_cast<detail::section*>(
      m->heap
          .payload(m->heap.allocate(4096, detail::storage_block, cell, held::block, true),
                   detail::storage_block)
          .data());
  auto* words = reinterpret_cast<word*>(shared + 1);
  for (const bool committed : {false, true}) {
    test::child c([&] {
      auto& mine = family_memory::get();
      mine.processes.lock(*shared);
      for (std::uint64_t i = 0; i < 4; ++i) shared->journal[i] = {mine.map.offset_of(words[i]), 7};
      if (committed) shared->pending.store(4);
      if (committed) words[0].store(7);
      ::kill(::getpid(), SIGKILL);
    });
    while (shared->owner.load() == 0) ::sched_yield();
    {
      detail::section_guard g(m->processes, *shared);
    }  // not reaped yet: found dead all the same
    for (int i = 0; i < 4; ++i) CHECK(words[i].load() == (committed ? 7u : 0u));
    CHECK(c.join() == -SIGKILL);
  }
}

TEST_CASE(
    "a committed transaction of a killed process on a list where nobody waits is done by its clean-up") {
  memory m;
  const block b = take(*m, sizeof(detail::wait_list));
  const auto payload = m->heap.payload(b.at, detail::buffer_block);
  std::memset(payload.data(), 0, payload.size());
  auto& list = *reinterpret_cast<detail::wait_list*>(payload.data());
  test::child killed([&] {
    // As `enqueue` when it is killed between its commit and its first store: the count is still 0.
    arena& memory = *m;
    detail::wait_entry& entry = memory.processes.my_slot().waits[0];
    memory.processes.my_slot().intent_list.store(memory.map.to_reference(list));
    list.guard.owner.store(memory.processes.me());
    const auto self = std::uint64_t{memory.map.to_reference(entry)};
    list.guard.journal[0] = {memory.map.offset_of(entry.list), memory.map.to_reference(list)};
    list.guard.journal[1] = {memory.map.offset_of(entry.state),
                             static_cast<std::uint64_t>(detail::wait_state::waiting)};
    list.guard.journal[2] = {memory.map.offset_of(list.ends()), self << 32 | self};
    list.guard.journal[3] = {memory.map.offset_of(list.count()), 1};
    list.guard.pending.store(4);
    ::kill(::getpid(), SIGKILL);
  });
  CHECK(killed.join() == -SIGKILL);
  // Later it would be done in the name of whoever has the slot by then.
  CHECK(list.guard.owner == 0);
  CHECK(list.guard.pending == 0);
  CHECK(list.ends() == 0);
  CHECK(list.count() == 0);
  give(*m, b);
}

TEST_CASE("A21: emptied slabs keep no more pages than their part of the reserve") {
  memory m(std::size_t{2} << 30);
  std::vector<block> blocks;
  constexpr std::uint64_t bytes = 16384 - sizeof(detail::block_header);
  for (int i = 0; i < 40'000; ++i) blocks.push_back(take(*m, bytes));  // 625 MiB
  for (const block& b : blocks) give(*m, b);
  CHECK(m->map.header().warm_bytes.load() <= std::uint64_t{64} << 20);
}
