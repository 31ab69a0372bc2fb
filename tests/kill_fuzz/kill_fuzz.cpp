// The kill fuzz: workers on queues, leases, pipes, shared buffers, of pools, on locks and their like and the arena, and
// children of the fork server, are ended by SIGKILL at a random step of a random primitive (kill_point.hpp), or stopped
// there for a while, and cleaned up after. After each round: nobody hung, nothing that was committed is lost or doubled, and
// the arena's accounts are as before.
//
//   kill_fuzz [--kills N] [--seed S] [--only pool|process|users]
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "brood/channel/pipe.hpp"
#include "brood/channel/queue.hpp"
#include "brood/channel/shared_buffer.hpp"
#include "brood/channel/shared_fd.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/pool/detail/job.hpp"
#include "brood/pool/detail/pool_function.hpp"
#include "brood/pool/detail/worker.hpp"
#include "brood/process/run.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "fuzz.hpp"

using namespace brood;
using namespace kill_fuzz;

namespace {

constexpr int producers = 3;
constexpr int consumers = 3;
constexpr int items_each = 150;

/// What the workers know of each other besides what is tested. In plain shared memory, not in the arena.
struct scoreboard {
  std::atomic<int> next[producers];  // the item the producer is putting, or will put
  std::atomic<std::uint8_t> uncertain[producers][items_each];  // its producer was killed while putting it
  std::atomic<std::uint8_t> seen[producers][items_each];
  std::atomic<std::uint64_t> disorder;
  std::atomic<std::uint64_t> garbage;
  std::atomic<int> received[2];  // by the sides of a pipe
};

scoreboard* board = nullptr;
// ---- items of three sizes ----

struct small_item {
  std::uint32_t producer, number;
  static small_item make(int p, int n) {
    return {static_cast<std::uint32_t>(p), static_cast<std::uint32_t>(n)};
  }
  bool sound() const { return producer < producers && number < items_each; }
};

struct text_item {
  std::uint32_t producer = 0, number = 0;
  std::string text;
  static std::string text_of(std::uint32_t p, std::uint32_t n) {
    return std::string((p * 977 + n * 131) % (n % 10 == 0 ? 90'000 : 900), static_cast<char>('a' + n % 26));
  }
  static text_item make(int p, int n) {
    text_item item;
    item.producer = static_cast<std::uint32_t>(p);
    item.number = static_cast<std::uint32_t>(n);
    item.text = text_of(item.producer, item.number);
    return item;
  }
  bool sound() const {
    return producer < producers && number < items_each && text == text_of(producer, number);
  }
};

/// Carries a queue with its number in it.
struct handle_item {
  std::uint32_t producer = 0, number = 0;
  queue<std::uint32_t> inner;
  static handle_item make(int p, int n) {
    handle_item item{static_cast<std::uint32_t>(p), static_cast<std::uint32_t>(n), queue<std::uint32_t>(2)};
    item.inner.try_put(item.number);
    return item;
  }
  bool sound() const { return producer < producers && number < items_each && inner.size() <= 1; }
};

/// Carries the end of a pipe whose other end is gone, with the number in the pipe.
struct end_item {
  std::uint32_t producer = 0, number = 0;
  receiver<std::uint32_t> inner;
  static end_item make(int p, int n) {
    auto [from, to] = one_way_pipe<std::uint32_t>(2);
    end_item item{static_cast<std::uint32_t>(p), static_cast<std::uint32_t>(n), from};
    to.try_send(item.number);
    return item;
  }
  bool sound() const {
    if (producer >= producers || number >= items_each) return false;
    try {
      const auto got = inner.try_recv();
      if (!got || *got != number) return false;
      inner.try_recv();
      return false;
    } catch (const closed&) {
      return true;  // also if somebody took the number before this came back from a lease
    }
  }
};

struct buffer_item {
  std::uint32_t producer = 0, number = 0;
  shared_buffer buffer;
  static std::size_t size_of(std::uint32_t p, std::uint32_t n) {
    return 1 + (p * 977 + n * 131) % (n % 10 == 0 ? 90'000 : 900);
  }
  static buffer_item make(int p, int n) {
    buffer_item item{static_cast<std::uint32_t>(p), static_cast<std::uint32_t>(n), {}};
    item.buffer = shared_buffer(size_of(item.producer, item.number));
    std::memset(item.buffer.data(), n, item.buffer.size());
    return item;
  }
  bool sound() const {
    if (producer >= producers || number >= items_each || buffer.size() != size_of(producer, number))
      return false;
    for (const std::byte b : buffer) {
      if (b != std::byte(number)) return false;
    }
    return true;
  }
};

/// Carries a descriptor that its producer keeps open, as long as it lives.
struct fd_item {
  std::uint32_t producer = 0, number = 0;
  shared_fd inner;
  static fd_item make(int p, int n) {
    return {static_cast<std::uint32_t>(p), static_cast<std::uint32_t>(n), shared_fd::copy_of(STDERR_FILENO)};
  }
  bool sound() const { return producer < producers && number < items_each && inner; }
};

/// Only items that are more than they carry have something to look at.
template <class Item>
task<> look_into(Item& item) {
  if constexpr (std::is_same_v<Item, fd_item>) {
    try {
      const unique_fd opened = co_await item.inner.open();
      if (!opened) ++board->garbage;
    } catch (const closed&) {  // its producer was killed, or is done
    }
  }
  co_return;
}

// ---- workers ----

struct worker {
  process_id slot;
  int producer;  // or -1
};

template <class Item>
task<> produce(queue<Item> q, int p) {
  while (board->next[p] < items_each) {
    const int n = board->next[p];
    const Item item = Item::make(p, n);
    co_await q.put(item);
    board->next[p] = n + 1;
  }
}

template <class Item>
void note(const Item& item, std::vector<int>& last) {
  if (!item.sound()) {
    ++board->garbage;
    return;
  }
  if (static_cast<int>(item.number) <= last[item.producer]) ++board->disorder;
  last[item.producer] = static_cast<int>(item.number);
  ++board->seen[item.producer][item.number];
}

template <class Item>
task<> consume(queue<Item> q) {
  std::vector<int> last(producers, -1);
  while (auto item = co_await q.next()) {
    note(*item, last);
    co_await look_into(*item);
  }
}

template <class Item>
task<> consume_leased(queue<Item> q) {
  for (;;) {
    std::vector<int> last(producers, -1);  // what comes back is out of order
    auto item = co_await q.next_leased();
    if (!item) co_return;
    note(**item, last);
    co_await look_into(**item);
    item->done();
  }
}

template <class Item>
void run_queue(const char* name, bool leased, std::uint64_t capacity) {
  current_round = name;
  std::memset(static_cast<void*>(board), 0, sizeof *board);
  const accounts before;
  std::uint64_t consumer_kills = 0;
  {
    const queue<Item> q = capacity == 0 ? queue<Item>(unbounded()) : queue<Item>(capacity);
    std::vector<std::pair<pid_t, worker>> running;
    std::uint64_t left = 12 + pick(20);  // kills in this round
    const auto spawn = [&](int producer) {
      const fate end = left > 0 ? draw_fate() : fate{};
      const process_id slot = family_memory::reserve_slot();
      const pid_t pid = start(slot, end, [&] {
        in_loop([&] {
          return producer >= 0 ? produce(q, producer) : leased ? consume_leased(q) : consume(q);
        });
      });
      running.push_back({pid, {slot, producer}});
    };
    for (int i = 0; i < producers; ++i) spawn(i);
    for (int i = 0; i < consumers; ++i) spawn(-1);
    int producing = producers;
    ::alarm(round_seconds);
    while (!running.empty()) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, 0);
      std::size_t at = 0;
      while (at < running.size() && running[at].first != pid) ++at;
      if (at == running.size()) continue;
      const worker ended = running[at].second;
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
      family_memory::on_death(ended.slot);
      const bool killed = WIFSIGNALED(status);
      if (killed && WTERMSIG(status) != SIGKILL) fail("a worker crashed");
      if (!killed && WEXITSTATUS(status) != 0) fail("a worker failed");
      if (killed) {
        ++kills;
        if (left > 0) --left;
        if (ended.producer < 0) ++consumer_kills;
        if (ended.producer >= 0 && board->next[ended.producer] < items_each) {
          board->uncertain[ended.producer][board->next[ended.producer]++] = 1;
        }
        spawn(ended.producer);
      } else if (ended.producer >= 0 && --producing == 0) {
        const_cast<queue<Item>&>(q).close();
      }
    }
    ::alarm(0);
    if (q.size() != 0) fail("items were left in the queue");
  }
  std::uint64_t lost = 0;
  std::uint64_t doubled = 0;
  for (int p = 0; p < producers; ++p) {
    for (int n = 0; n < items_each; ++n) {
      const int seen = board->seen[p][n];
      if (seen == 0 && board->uncertain[p][n] == 0) ++lost;
      if (seen > 1) doubled += static_cast<std::uint64_t>(seen - 1);
    }
  }
  if (board->garbage != 0) fail("an item was damaged");
  if (board->disorder != 0) fail("a consumer saw items of one producer out of order");
  if (leased && lost != 0) fail("a leased item was lost");
  if (leased && doubled > consumer_kills) fail("a leased item that was done came again");
  if (!leased && doubled != 0) fail("an item came twice");
  if (!leased && lost > consumer_kills) fail("more items were lost than consumers killed");
  before.require_balance();
}

template <class Item>
task<> send_all(connection<Item> end, int side) {
  for (int n = 0; n < items_each; ++n) {
    const Item item = Item::make(side, n);
    try {
      co_await end.send(item);
    } catch (const closed&) {
      co_return;
    }
  }
}

template <class Item>
task<> both_ways(queue<connection<Item>> box, int side) {
  const auto end = co_await box.get();
  const auto body = [&](nursery& n) -> task<> {
    n.start(send_all(end, side));
    while (board->received[side] < items_each) {
      const auto item = co_await end.next();
      if (!item) break;
      if (!item->sound() || static_cast<int>(item->producer) == side) ++board->garbage;
      if (static_cast<int>(item->number) != board->received[side]++) ++board->disorder;
    }
  };
  co_await with_nursery(body);
}

/// Two processes send to each other through a pipe; neither outlives the other's death waiting for it.
template <class Item>
void run_pipe(const char* name) {
  current_round = name;
  std::memset(static_cast<void*>(board), 0, sizeof *board);
  const accounts before;
  bool any_killed = false;
  ::alarm(round_seconds);
  {
    // Each takes its end out of a message, so that nobody else has it: not this process, and not by `fork`.
    std::vector<queue<connection<Item>>> boxes{queue<connection<Item>>(1), queue<connection<Item>>(1)};
    {
      const auto [a, b] = brood::pipe<Item>(1 + pick(10));
      boxes[0].try_put(a);
      boxes[1].try_put(b);
    }
    pid_t pids[2];
    process_id slots[2];
    for (int side = 0; side < 2; ++side) {
      const auto at = static_cast<std::size_t>(side);
      slots[side] = family_memory::reserve_slot();
      pids[side] =
          start(slots[side], draw_fate(), [&] { in_loop([&] { return both_ways(boxes[at], side); }); });
    }
    for (int ended = 0; ended < 2;) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, 0);
      if (pid != pids[0] && pid != pids[1]) continue;
      ++ended;
      const int side = pid == pids[0] ? 0 : 1;
      if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) fail("a side crashed");
      if (WIFEXITED(status) && WEXITSTATUS(status) != 0) fail("a side failed");
      if (WIFSIGNALED(status)) {
        ++kills;
        any_killed = true;
      }
      family_memory::on_death(slots[side]);
      boxes[static_cast<std::size_t>(side)].try_get();  // in case it never took its end
    }
  }
  ::alarm(0);
  if (board->garbage != 0) fail("an item was damaged");
  if (board->disorder != 0) fail("an item was lost, doubled or out of order");
  if (!any_killed && (board->received[0] != items_each || board->received[1] != items_each))
    fail("items were lost");
  before.require_balance();
}

/// Blocks and objects, taken and given back.
void run_arena() {
  current_round = "arena";
  const accounts before;
  ::alarm(round_seconds);
  for (int i = 0; i < 10; ++i) {
    const process_id slot = family_memory::reserve_slot();
    const std::uint64_t worker_seed = chance();
    const pid_t pid = start(slot, draw_fate(), [&] {
      std::mt19937_64 random(worker_seed);
      auto& memory = family_memory::get();
      std::vector<detail::word*> held;
      for (int n = 0; n < 300; ++n) {
        if (random() % 3 == 0 && !held.empty()) {
          detail::word* cell = held.back();
          held.pop_back();
          memory.heap.release(detail::cell_reference(cell->load()), *cell);
          memory.heap.return_cell(*cell);
        } else {
          detail::word& cell = memory.heap.take_cell();
          memory.heap.allocate(random() % (n % 7 == 0 ? 3'000'000 : 20'000), detail::buffer_block, cell,
                               detail::held::block);
          held.push_back(&cell);
        }
      }
    });
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) ++kills;
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) fail("a worker failed");
    family_memory::on_death(slot);
    before.require_balance();
  }
  ::alarm(0);
}

/// The one who cleans up is killed while it does.
void run_successors() {
  current_round = "clean-up";
  const accounts before;
  ::alarm(round_seconds);
  {
    const queue<text_item> q(10);
    const queue<connection<std::uint32_t>> ends(1);
    for (int n = 0; n < 5; ++n) {
      const auto item = text_item::make(0, n);
      q.try_put(item);
    }
    const process_id slot = family_memory::reserve_slot();
    const std::uint64_t steps = 1 + pick(std::uint64_t{1} << (3 + pick(9)));
    const pid_t middle = start(slot, {}, [&] {
      const process_id inner_slot = family_memory::reserve_slot();
      const pid_t inner = start(inner_slot, {}, [&] {
        in_loop([&]() -> task<> {
          auto a = co_await q.get_leased();
          auto b = co_await q.get_leased();
          queue<text_item> mine(3);
          const auto item = text_item::make(1, 10);
          mine.try_put(item);
          const shared_buffer buffer(100'000);
          auto [here, there] = brood::pipe<std::uint32_t>();
          ends.try_put(there);
          there.close();
          here.try_send(77u);
          ::kill(::getpid(), SIGKILL);
        });
      });
      ::waitpid(inner, nullptr, 0);
      detail::arm_kill_point(steps);
      family_memory::on_death(inner_slot);
    });
    int status = 0;
    ::waitpid(middle, &status, 0);
    if (WIFSIGNALED(status)) ++kills;
    family_memory::on_death(slot);
    while (const auto left = family_memory::next_orphan()) family_memory::on_death(left->id);
    if (q.size() != 5) fail("a lease was not given back");
    const auto end = ends.try_get();
    if (!end || end->try_recv() != 77u) fail("what was sent is lost");
    try {
      end->try_recv();
      fail("the end of a killed process is not gone");
    } catch (const closed&) {
    }
    for (std::uint32_t n = 0; n < 5; ++n) {
      const auto item = q.try_get();
      if (!item || !item->sound() || item->number != n) fail("items came back in another order");
    }
  }
  ::alarm(0);
  before.require_balance();
}

std::string text_of(int x) {
  return std::string(static_cast<std::size_t>(x * 37 % 900), static_cast<char>('a' + x % 26));
}
int square_of(int x) { return x * x; }

/// The results of a task that are there are right; gives how many.
std::uint32_t check_results(detail::lane& lane, std::uint32_t number, bool texts) {
  const detail::lane_slot& slot = lane.slot(number);
  const std::string worker = "worker";
  detail::result_reader results(lane.memory(), slot, worker, 0);
  int item = 0;
  std::memcpy(&item, slot.request, sizeof item);
  const std::uint32_t done = results.done();
  while (const auto record = results.next(sizeof(int))) {
    for (std::uint64_t i = 0; i < record->count; ++i, ++item) {
      if (texts) {
        if (decode<std::string>(record->bytes) != text_of(item)) fail("a wrong text");
      } else if (decode<int>(record->bytes.subspan(i * sizeof(int), sizeof(int))) != square_of(item)) {
        fail("a wrong number");
      }
    }
  }
  return done;
}

/// A pool's worker: every task of its lane is done, or the one it was at, or not begun.
void run_lane(bool texts) {
  current_round = texts ? "lane of texts" : "lane of numbers";
  const accounts before;
  ::alarm(round_seconds);
  {
    const auto lane = detail::lane::create(family_memory::get());
    const auto hub = detail::hub::create(family_memory::get(), 1);
    std::uint32_t items[40] = {};
    const auto give = [&](std::uint32_t number) {
      detail::lane_slot& slot = lane->prepare(number);
      slot.function =
          texts ? detail::pool_function<text_of>::token() : detail::pool_function<square_of>::token();
      slot.block = 0;
      slot.first = 0;
      slot.last = items[number] = static_cast<std::uint32_t>(1 + pick(32));
      slot.size = slot.last * sizeof(int);
      slot.timed = pick(3) == 0;
      slot.stop_at_error = 0;
      for (std::uint32_t i = 0; i < slot.last; ++i) {
        const int value = static_cast<int>(number * 100 + i);
        std::memcpy(slot.request + i * sizeof value, &value, sizeof value);
      }
      lane->give(1);
      lane->wake_worker();
    };
    for (std::uint32_t number = 0; number < 10; ++number) give(number);
    const process_id slot = family_memory::reserve_slot();
    const pid_t pid = start(slot, draw_fate(), [&] {
      detail::pool_worker(detail::pool_handle(lane), detail::pool_handle(hub), 0, {});
    });
    std::uint32_t given = 10;
    for (; given < 40; ++given) {
      give(given);
      if (pick(4) == 0) given -= lane->take_back(1);
    }
    lane->close();
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) ++kills;
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) fail("a worker failed");
    family_memory::on_death(slot);
    const std::uint32_t claimed = lane->claimed();
    const std::uint32_t published = lane->published();
    if (lane->given() != given || claimed > given) fail("tasks were lost");
    if (claimed - published > 1) fail("more than one task was under way");
    if (WIFEXITED(status) && published != given) fail("a worker ended before its tasks did");
    for (std::uint32_t number = 0; number < claimed; ++number) {
      const std::uint32_t done = check_results(*lane, number, texts);
      if (number < published && done != items[number]) fail("a published result is not whole");
      if (pick(2) == 0) lane->free_result(lane->slot(number));  // the others go with the lane
    }
  }
  ::alarm(0);
  before.require_balance();
}

void hang(int) {
  std::fprintf(stderr, "kill_fuzz: %s: somebody hangs (seed %llu, after %llu kills)\n", current_round,
               static_cast<unsigned long long>(seed), static_cast<unsigned long long>(kills));
  ::abort();
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t wanted = 300;
  std::string only;
  seed = std::random_device{}();
  options settings;
  settings.arena_size = std::size_t{1} << 30;
  brood::init(argc, argv, settings);
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--kills") == 0) wanted = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--seed") == 0) seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
  }
  chance.seed(seed);
  start_warden();
  ::signal(SIGALRM, hang);
  board = static_cast<scoreboard*>(
      ::mmap(nullptr, sizeof(scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  while (kills < wanted) {
    if (only == "process") run_process_rounds();
    if (only == "users") run_user_rounds();
    if (only.empty() || only == "pool") run_pool_round();
    if (!only.empty()) continue;
    run_apart(argv[0], "process");
    if (::geteuid() == 0) run_apart(argv[0], "users");
    run_queue<small_item>("queue of small items", false, 7);
    run_queue<small_item>("leases of small items", true, 7);
    run_queue<text_item>("queue of texts", false, 20);
    run_queue<text_item>("leases of texts, unbounded", true, 0);
    run_queue<small_item>("unbounded queue", false, 0);
    run_queue<handle_item>("queue of queues", false, 10);
    run_queue<handle_item>("leases of queues", true, 10);
    run_queue<end_item>("queue of ends", false, 10);
    run_queue<end_item>("leases of ends", true, 10);
    run_queue<buffer_item>("queue of buffers", false, 10);
    run_queue<buffer_item>("leases of buffers", true, 10);
    run_queue<fd_item>("queue of descriptors", false, 10);
    run_queue<fd_item>("leases of descriptors", true, 10);
    for (int i = 0; i < 10; ++i) {
      run_pipe<small_item>("pipe of small items");
      run_pipe<text_item>("pipe of texts");
      run_pipe<end_item>("pipe of ends");
      run_pipe<buffer_item>("pipe of buffers");
    }
    for (int i = 0; i < 10; ++i) run_lane(i % 2 == 0);
    for (int i = 0; i < 3; ++i) run_arena();
    for (int i = 0; i < 10; ++i) run_successors();
    run_sync_rounds();
  }
  std::printf(
      "%llu kills, %llu stops: nobody hung, nothing committed was lost or doubled, the accounts balance "
      "(seed "
      "%llu)\n",
      static_cast<unsigned long long>(kills), static_cast<unsigned long long>(stops()),
      static_cast<unsigned long long>(seed));
}
