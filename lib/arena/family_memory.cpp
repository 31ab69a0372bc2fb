// The process-wide object: this process's mapping of the family's arena.
#include "brood/arena/family_memory.hpp"

#include <memory>
#include <stdexcept>

#include "brood/arena/arena.hpp"
#include "brood/arena/detail/shared_object.hpp"
#include "brood/arena/detail/wait_operation.hpp"
#include "brood/arena/detail/wake_port.hpp"
#include "brood/coroutine/detail/forked.hpp"
#include "brood/runtime/runtime.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood {
namespace {

// Never destroyed at exit: handles in static objects may outlive every order of destruction.
arena* memory = nullptr;

void count_memory(runtime&, snapshot& counted) {
  if (memory == nullptr) return;
  const arena_statistics now = memory->statistics();
  counted.arena = {now.bytes_total, now.bytes_used, now.bytes_resident, now.blocks, now.processes};
  counted.waiters = memory->wakes.waiting();
  detail::count_objects(counted);
}

void leave_in_fork() {
  detail::forked = true;
  if (memory != nullptr) memory->forget_slot();
}

/// Once in a process: from now on a fork knows that it has no place.
void prepare_for_forks() {
  static const bool prepared = [] {
    if (const int error = sys::at_fork(leave_in_fork)) sys::throw_errno("pthread_atfork", error);
    return true;
  }();
  static_cast<void>(prepared);
}

void require_none() {
  if (memory != nullptr) throw std::logic_error("brood: this process has the family's memory already");
}

}  // namespace

void family_memory::create(std::size_t bytes) {
  require_none();
  prepare_for_forks();
  memory = arena::create(bytes).release();
  detail::add_snapshot_source(count_memory);
  memory->wakes.prepare_to_ring();
}

void family_memory::attach(int memfd) {
  require_none();
  prepare_for_forks();
  memory = arena::attach(memfd).release();
  detail::add_snapshot_source(count_memory);
}

void family_memory::detach() noexcept {
  detail::forget_objects();
  delete std::exchange(memory, nullptr);
}

bool family_memory::exists() noexcept { return memory != nullptr; }
int family_memory::fd() noexcept { return memory != nullptr ? memory->map.fd() : -1; }

arena& family_memory::get() {
  if (detail::forked) [[unlikely]]
    throw forked_process();
  if (memory == nullptr) {
    throw std::logic_error("brood: no shared memory in this process; call brood::init first thing in main");
  }
  return *memory;
}

process_id family_memory::reserve_slot() { return get().reserve_slot(); }

void family_memory::adopt_slot(process_id id) {
  detail::forked = false;
  get().adopt_slot(id);
  detail::adopt_objects();
}

[[gnu::hot]] void family_memory::adopt_slot_when_needed(process_id id) {
  if (detail::has_objects()) {
    adopt_slot(id);
  } else {
    detail::forked = false;
    get().processes.adopt_slot_when_needed(id);
  }
}

bool family_memory::note_pid(process_id id, int pid) noexcept {
  return memory != nullptr && memory->processes.note_pid(id, pid);
}

void family_memory::disown() noexcept {
  detail::forked = false;
  if (memory != nullptr) memory->disown();
}

int family_memory::pid_of(process_id id) noexcept {
  return memory != nullptr ? memory->processes.pid_of(id) : 0;
}

process_id family_memory::self() noexcept {
  return memory != nullptr ? memory->processes.self() : process_id();
}

void family_memory::on_death(process_id id) noexcept {
  if (memory != nullptr) memory->on_death(id);
}

std::optional<orphan> family_memory::next_orphan() noexcept {
  return memory != nullptr ? memory->processes.next_orphan() : std::nullopt;
}

void family_memory::watch_orphan(process_id id) noexcept { memory->processes.watch_orphan(id); }

void family_memory::unwatch_orphan(process_id id) noexcept {
  if (memory != nullptr) memory->processes.unwatch_orphan(id);
}

int family_memory::become_caretaker() { return get().become_caretaker(); }

void family_memory::attach_loop(runtime& loop) { loop.use<detail::wake_port>(); }

namespace detail {
namespace {

/// Which thread uses the shared memory, as long as its runtime lives.
class memory_user final : public runtime_service {
 public:
  explicit memory_user(runtime&) { family_memory::get().wakes.used_by(thread_here()); }
  ~memory_user() override {
    if (family_memory::exists()) family_memory::get().wakes.used_by(nullptr);
  }
  task<> shut_down() override { co_return; }
};

}  // namespace

void require_loop_of_memory() {
  if (family_memory::get().wakes.is_used()) throw wrong_thread();
  if (runtime* loop = runtime::current_or_null()) loop->use<memory_user>();
}

void ensure_wake_port() { family_memory::attach_loop(runtime::current()); }
}  // namespace detail

}  // namespace brood
