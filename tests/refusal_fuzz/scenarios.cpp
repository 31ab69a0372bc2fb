#include "scenarios.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include "brood/brood.hpp"

using namespace brood;
using namespace std::chrono_literals;

namespace refusal_fuzz {
namespace {

void require(bool fine, const char* what) {
  if (!fine) throw wrong{what};
}

// ---- within one process ----

task<> put_soon(queue<int> q, int value) {
  co_await yield();
  co_await q.put(value);
}

task<> use_queues() {
  queue<int> numbers(2);
  const auto both = [&](nursery& n) -> task<> {
    n.start(put_soon(numbers, 7));
    const int got = co_await numbers.get();
    require(got == 7, "a wrong item");
  };
  co_await with_nursery(both);

  queue<std::string> texts(4);
  const std::string large(70'000, 'x');
  co_await texts.put(large);
  co_await texts.put("small");
  {
    auto lease = co_await texts.get_leased();
    require(*lease == large, "a wrong text");
  }
  auto again = co_await texts.get_leased();
  require(*again == large, "a lease did not come back");
  again.done();
  const std::string small = co_await texts.get();
  require(small == "small", "a wrong text");

  queue<queue<int>> boxes(2);
  co_await boxes.put(numbers);
  queue<int> inner = co_await boxes.get();
  inner.try_put(8);
  const int got = co_await numbers.get();
  require(got == 8, "a queue in a queue is another");

  const unique_fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  queue<shared_fd> descriptors(2);
  const shared_fd shared = shared_fd::copy_of(null.get());
  co_await descriptors.put(shared);
  const shared_fd received = co_await descriptors.get();
  const unique_fd opened = co_await received.open();
  require(static_cast<bool>(opened), "no descriptor");
  numbers.close();
  const auto end = co_await numbers.next();
  require(!end, "an item from nowhere");
}

task<> send_soon(connection<std::string> to, std::string text) {
  co_await yield();
  co_await to.send(text);
}

task<> use_pipes() {
  auto [here, there] = brood::pipe<std::string>(2);
  const auto both = [&, from = here, to = there](nursery& n) -> task<> {
    n.start(send_soon(to, "hello"));
    const std::string got = co_await from.recv();
    require(got == "hello", "a wrong message");
  };
  co_await with_nursery(both);
  co_await here.send(std::string(50'000, 'y'));
  const std::string large = co_await there.recv();
  require(large.size() == 50'000, "a wrong message");
  there.close();
  here.close();
}

task<> hold_for_a_turn(lock l) {
  const auto guard = co_await l.acquire();
  co_await yield();
}

task<> notify_soon(condition c, lock l) {
  const auto guard = co_await l.acquire();
  c.notify();
}

task<> set_soon(event e) {
  co_await yield();
  e.set();
}

task<> arrive(barrier all) { co_await all.arrive(); }

task<> use_locks() {
  lock l;
  const auto three = [&](nursery& n) -> task<> {
    for (int i = 0; i < 3; ++i) n.start(hold_for_a_turn(l));
    co_return;
  };
  co_await with_nursery(three);
  require(!l.locked(), "a lock is held by nobody");

  rlock deep;
  {
    const auto outer = co_await deep.acquire();
    const auto inner = co_await deep.acquire();
  }
  semaphore permits(2);
  {
    const auto one = co_await permits.acquire();
    const auto other = co_await permits.acquire();
  }
  event e;
  const auto waits = [&](nursery& n) -> task<> {
    n.start(set_soon(e));
    co_await e.wait();
  };
  co_await with_nursery(waits);

  const condition c(l);
  const auto notified = [&](nursery& n) -> task<> {
    auto guard = co_await l.acquire();
    n.start(notify_soon(c, l));
    co_await c.wait(guard);
  };
  co_await with_nursery(notified);

  barrier all(2);
  const auto meet = [&](nursery& n) -> task<> {
    n.start(arrive(all));
    co_await all.arrive();
  };
  co_await with_nursery(meet);

  bool in_time = true;
  const auto held = co_await l.acquire();
  try {
    co_await with_timeout(1ms, hold_for_a_turn(l));
  } catch (const timed_out&) {
    in_time = false;
  }
  require(!in_time, "a lock was held twice");
}

task<> use_memory() {
  shared_buffer buffer(100'000);
  buffer.data()[99'999] = std::byte{1};
  const queue<shared_buffer> q(1);
  q.try_put(buffer);
  const auto got = q.try_get();
  require(got && got->data()[99'999] == std::byte{1}, "a buffer is another");

  shared_value<int> number(3);
  {
    auto guard = co_await number.locked();
    *guard += 1;
    require(*guard == 4, "a wrong value");
  }
  auto memory = shared_memory::create(10'000);
  try {
    auto same = shared_memory::attach(memory.name());
    same.data()[5] = std::byte{9};
    require(memory.data()[5] == std::byte{9}, "named memory is another");
    memory.unlink();
  } catch (...) {
    memory.unlink();  // one error is not the end of the name
    throw;
  }
}

task<> come_and_go(std::string address) {
  auto c = co_await connect<int, int>(brood::address(address), authkey("k"));
  co_await c.send(4);
  const int answer = co_await c.recv();
  require(answer == 5, "a wrong answer");
}

task<> use_connections() {
  listener l(address(), authkey("k"));
  const auto both = [&](nursery& n) -> task<> {
    n.start(come_and_go(l.address().text()));
    auto c = co_await l.accept<int, int>();
    const int got = co_await c.recv();
    co_await c.send(got + 1);
  };
  // A guest that was refused something leaves the listener waiting for another.
  co_await with_timeout(3s, with_nursery(both));
  l.close();
}

// ---- children ----

int square(int x) { return x * x; }
std::string repeat(std::string text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}
int throws(int) { throw std::runtime_error("as it should"); }

task<int> double_all(queue<int> from, queue<int> to, lock l) {
  int count = 0;
  while (auto item = co_await from.next()) {
    const auto guard = co_await l.acquire();
    co_await to.put(2 * *item);
    ++count;
  }
  co_return count;
}

task<> use_children() {
  auto child = co_await spawn<square>(7).name("squarer");
  const int result = co_await child.result();
  require(result == 49, "a wrong result");

  const std::string large(40'000, 'z');
  auto other = co_await spawn<repeat>(large, 2);
  const std::string repeated = co_await other.result();
  require(repeated.size() == 80'000, "a wrong result");

  auto failing = co_await spawn<throws>(1);
  bool failed = false;
  try {
    co_await failing.result();
  } catch (const remote_error& e) {
    failed = std::string_view(e.what()).find("as it should") != std::string_view::npos;
    if (!failed) throw;
  }
  require(failed, "an exception is lost");

  queue<int> to(4);
  queue<int> from(4);
  const lock l;
  const auto family = [&](nursery& n) -> task<> {
    auto worker = co_await n.spawn<double_all>(to, from, l);
    for (int i = 0; i < 3; ++i) co_await to.put(i);
    to.close();
    const int count = co_await worker.result();
    require(count == 3, "items are lost");
  };
  co_await with_nursery(family);
  require(from.size() == 3, "items are lost");
  while (from.try_get()) {
  }
}

/// A program may be the one that was refused something.
void require_success(const exit_status& status, const char* program) {
  if (status.success()) return;
  require(programs_are_refused, "a program failed");
  throw std::runtime_error(std::string(program) + " " + describe(status));
}

task<> use_programs() {
  auto sorted = co_await command("sort", "-n").input("10\n9\n").output();
  require_success(sorted.status, "sort");
  require(sorted.out == "9\n10\n", "a wrong order");
  bool missing = false;
  try {
    co_await command("/there/is/no/such/program").output();
  } catch (const std::system_error& e) {
    missing = e.code().value() == ENOENT;
    if (!missing) throw;
  }
  require(missing, "what does not exist was executed");
  auto child = co_await command("cat").stdin_(piped).stdout_(piped).spawn();
  try {
    co_await child.stdin_().write("a line\n");
    child.stdin_().close();
    const auto line = co_await child.stdout_().read_line();
    const auto status = co_await child.join();
    require_success(status, "cat");
    require(line == "a line", "a wrong line");
  } catch (...) {
    child.kill();  // one error is not its end
    throw;
  }
}

task<> use_pool() {
  pool workers = co_await pool::open(2);
  std::vector<int> results = co_await workers.map<square>(std::views::iota(0, 40));
  require(results.size() == 40 && results[6] == 36, "a wrong result");
  const std::string text = co_await workers.apply<repeat>(std::string(20'000, 'p'), 2);
  require(text.size() == 40'000, "a wrong result");
  co_await workers.close();
}

task<> use_manager() {
  auto m = co_await manager::start();
  auto d = co_await m.dict<std::string, int>();
  co_await d.set("a", 1);
  const int sum = co_await d.fetch_add("a", 2);
  require(sum == 1 || sum == 3, "a wrong value");
  auto l = co_await m.lock();
  {
    auto guard = co_await l.acquire();
  }
  auto q = co_await m.queue<std::string>(2);
  co_await q.put(std::string(30'000, 'm'));
  const std::string got = co_await q.get();
  require(got.size() == 30'000, "a wrong item");
  co_await m.shutdown();
}

task<> use_init() {
  auto child = co_await spawn<square>(3);
  const int result = co_await child.result();
  require(result == 9, "a wrong result");
}

constexpr std::array all = {
    scenario{"queues", use_queues},
    scenario{"pipes", use_pipes},
    scenario{"locks", use_locks},
    scenario{"memory", use_memory},
    scenario{"connections", use_connections},
    scenario{"children", use_children, process_model::siblings},
    scenario{"children, relayed", use_children, process_model::relay},
    scenario{"children, executed", use_init, process_model::exec},
    scenario{"programs", use_programs},
    scenario{"pool", use_pool},
    scenario{"manager", use_manager},
    scenario{"init", use_init, process_model::automatic, true},
};

}  // namespace

std::span<const scenario> scenarios() noexcept { return all; }

}  // namespace refusal_fuzz
