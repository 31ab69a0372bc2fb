// The process table: slots, what each process holds and waits for, and the clean-up after a dead one.
//
// Clean-up is a sequence of steps of which each can be repeated: repair what the dead one was in the middle
// of (intents), take its entries out of the wait lists, give back what its cells name, free its chunks and
// its slot. A process killed while it cleans up has the dead one's slot in a cell of its own, so that whoever
// cleans up after it does the rest. The cost is that of what the dead one held; nobody else's memory is
// looked at.
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "brood/arena/arena.hpp"
#include "brood/arena/detail/wait_list.hpp"
#include "port_address.hpp"
#include "system/error.hpp"

namespace brood {

using detail::held;
using detail::kill_point;
using detail::process_slot;
using detail::reference;
using detail::section_guard;
using detail::slot_state;
using detail::wait_entry;
using detail::word;

namespace {

constexpr std::uint64_t make_state(std::uint64_t generation, slot_state state) {
  return generation << 32 | static_cast<std::uint64_t>(state);
}
constexpr slot_state state_of(std::uint64_t w) { return static_cast<slot_state>(w & 0xffffffff); }
constexpr std::uint64_t make_owner(std::uint64_t state_word, std::uint32_t slot) {
  return (state_word & 0xffffffff00000000) | slot;
}

/// Entries of all chunks in one row.
constexpr std::size_t wait_index(std::uint64_t home) {
  const auto chunk = static_cast<unsigned>(home >> 24);
  const std::size_t before =
      chunk == 0 ? 0 : detail::inline_waits + 32 * ((std::size_t{1} << (chunk - 1)) - 1);
  return before + (home & 0xffffff);
}

int open_ring_socket() noexcept { return ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

/// Whether no process of this number runs any more: gone, or a zombie nobody has reaped yet.
bool process_is_gone(int pid) noexcept {
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return errno == ESRCH;
  pollfd watched{fd, POLLIN, 0};
  const bool gone = ::poll(&watched, 1, 0) > 0;  // readable: a zombie, pidfd_open(2)
  ::close(fd);
  return gone;
}

}  // namespace

process_slot& arena::slot_at(std::uint32_t slot) const noexcept {
  return reinterpret_cast<process_slot*>(base_ + header().process_table)[slot];
}

void arena::require_slot() {
  if (slot_to_adopt_ != 0) adopt_slot(std::exchange(slot_to_adopt_, 0));
  if (my_slot_ == nullptr) {
    throw std::logic_error(
        "brood: this process has no place in the family's memory; call brood::init first thing in main");
  }
}

bool arena::is_dead(std::uint64_t owner) noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  if (slot == 0 || slot >= header().slots) return true;
  process_slot& s = slot_at(slot);
  const std::uint64_t state = s.state.load(std::memory_order_acquire);
  if (make_owner(state, slot) != owner || state_of(state) != slot_state::live) return true;
  const int pid = static_cast<int>(s.pid.load(std::memory_order_relaxed));
  return pid != ::getpid() && process_is_gone(pid);
}

// ---- birth ----

std::uint32_t arena::reserve_slot() {
  auto& h = header();
  // Only the first process of a family has no slot yet, and so no cell to name the child in; it holds the
  // section in the name of the slot it is about to get, which nobody else can have.
  const bool first = h.slots_cut.load() == 1;
  if (!first) require_slot();
  if (first) {
    h.slots_cut.store(2);
    slot_at(1).state.store(make_state(1, slot_state::reserved), std::memory_order_release);
    return 1;
  }
  prepare_to_ring();
  word& cell = take_cell();
  try {
    section_guard g(*this, h.heap_section);
    std::uint64_t slot = g.get(h.free_slots);
    if (slot != 0) {
      g.set(h.free_slots,
            slot_at(static_cast<std::uint32_t>(slot)).next_free.load(std::memory_order_relaxed));
    } else {
      slot = g.get(h.slots_cut);
      if (slot >= h.slots)
        throw arena_full("the table of processes is full; give brood::options a larger arena");
      g.set(h.slots_cut, slot + 1);
    }
    process_slot& s = slot_at(static_cast<std::uint32_t>(slot));
    const std::uint64_t generation = (s.state.load(std::memory_order_relaxed) >> 32) + 1;
    s.pid.store(0, std::memory_order_relaxed);
    g.set(s.state, make_state(generation & 0xffffffff, slot_state::reserved));
    g.set(s.parent, me_);
    g.set(cell, detail::make_cell(held::child, static_cast<reference>(slot)));
    g.commit();
    children_.emplace(static_cast<std::uint32_t>(slot), &cell);
    return static_cast<std::uint32_t>(slot);
  } catch (...) {
    return_cell(cell);
    throw;
  }
}

void arena::adopt_slot(std::uint32_t slot) {
  if (slot == 0 || slot >= header().slots)
    throw std::logic_error("brood: no such slot in the family's memory");
  process_slot& s = slot_at(slot);
  std::uint64_t state = s.state.load(std::memory_order_acquire);
  const bool reserved = state_of(state) == slot_state::reserved;
  if (reserved) s.pid.store(static_cast<std::uint64_t>(::getpid()), std::memory_order_relaxed);
  if (!reserved || !s.state.compare_exchange_strong(
                       state, (state & 0xffffffff00000000) | static_cast<std::uint64_t>(slot_state::live),
                       std::memory_order_acq_rel)) {
    throw std::logic_error("brood: this slot of the family's memory was not reserved for a new process");
  }
  me_ = make_owner(state, slot);
  reset_local(slot);
}

void arena::disown() noexcept {
  me_ = 0;
  my_slot_ = nullptr;
  ring_socket_ = -1;
  slot_to_adopt_ = 0;
}

void arena::reset_local(std::uint32_t slot) {
  my_slot_ = &slot_at(slot);
  free_cells_.clear();
  free_waits_.clear();
  waits_total_ = 0;
  waiters_.clear();
  children_.clear();
  orphans_.clear();
  new_orphans_.clear();
  cell_chunks_ = wait_chunks_ = 1;
  for (unsigned i = detail::inline_cells; i-- > 0;) free_cells_.push_back(&my_slot_->cells[i]);
  for (unsigned i = detail::inline_waits; i-- > 0;) {
    wait_entry& entry = my_slot_->waits[i];
    entry.owner.store(me_, std::memory_order_relaxed);
    entry.home.store(i, std::memory_order_relaxed);
    free_waits_.push_back(to_reference(entry));
    ++waits_total_;
  }
  if (ring_socket_ >= 0) ::close(ring_socket_);
  ring_socket_ = -1;
  rings_sent = 0;
}

// ---- cells ----

word& arena::cell_at(process_slot& s, unsigned chunk, std::uint32_t index) const noexcept {
  if (chunk == 0) return s.cells[index];
  const auto block = static_cast<reference>(s.cell_chunks[chunk].load(std::memory_order_acquire));
  return reinterpret_cast<word*>(base_ + std::uint64_t{block} * detail::granule +
                                 sizeof(detail::block_header))[index];
}

void arena::add_cell_chunk() {
  if (cell_chunks_ == detail::chunk_count) throw arena_full("this process holds too many shared objects");
  const unsigned chunk = cell_chunks_;
  const std::uint32_t count = detail::cells_in_chunk(chunk);
  allocate(count * sizeof(word), detail::chunk_block, my_slot_->cell_chunks[chunk], held::block, true);
  ++cell_chunks_;
  for (std::uint32_t i = count; i-- > 0;) free_cells_.push_back(&cell_at(*my_slot_, chunk, i));
}

word& arena::take_cell() {
  require_slot();
  if (free_cells_.empty()) add_cell_chunk();
  word* cell = free_cells_.back();
  free_cells_.pop_back();
  return *cell;
}

void arena::return_cell(word& cell) noexcept { free_cells_.push_back(&cell); }

void arena::for_each_cell(const std::function<void(std::uint64_t)>& look) const {
  const auto slots = std::min(header().slots, header().slots_cut.load(std::memory_order_acquire));
  for (std::uint32_t slot = 1; slot < slots; ++slot) {
    process_slot& s = slot_at(slot);
    if (state_of(s.state.load(std::memory_order_acquire)) == slot_state::free) continue;
    for (unsigned chunk = 0; chunk < detail::chunk_count; ++chunk) {
      if (chunk > 0 && s.cell_chunks[chunk].load(std::memory_order_acquire) == 0) continue;
      for (std::uint32_t i = 0; i < detail::cells_in_chunk(chunk); ++i) {
        look(cell_at(s, chunk, i).load(std::memory_order_acquire));
      }
    }
  }
}

// ---- wait entries ----

void arena::add_wait_chunk() {
  if (wait_chunks_ == detail::chunk_count) throw arena_full("too many coroutines of this process wait");
  const unsigned chunk = wait_chunks_;
  const std::uint32_t count = detail::waits_in_chunk(chunk);
  const std::uint64_t bitmap_bytes = detail::bitmap_words(chunk) * sizeof(word);
  const reference block = allocate(bitmap_bytes + count * sizeof(wait_entry), detail::chunk_block,
                                   my_slot_->wait_chunks[chunk], held::block, true);
  ++wait_chunks_;
  const auto first = static_cast<reference>(block + 1 + bitmap_bytes / detail::granule);
  for (std::uint32_t i = count; i-- > 0;) {
    auto& entry = at<wait_entry>(first + i);
    entry.owner.store(me_, std::memory_order_relaxed);
    entry.home.store(std::uint64_t{chunk} << 24 | i, std::memory_order_relaxed);
    free_waits_.push_back(first + i);
    ++waits_total_;
  }
}

wait_entry& arena::take_wait_entry(detail::waiter& who) {
  require_slot();
  if (free_waits_.empty()) add_wait_chunk();
  auto& entry = at<wait_entry>(free_waits_.back());
  free_waits_.pop_back();
  const std::size_t index = wait_index(entry.home.load(std::memory_order_relaxed));
  if (index >= waiters_.size()) waiters_.resize(index + 1);
  waiters_[index] = &who;
  return entry;
}

void arena::return_wait_entry(wait_entry& entry) noexcept {
  waiters_[wait_index(entry.home.load(std::memory_order_relaxed))] = nullptr;
  free_waits_.push_back(to_reference(entry));
}

// ---- waking ----

void arena::deliver(std::uint64_t owner, std::uint64_t home) noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  const auto chunk = static_cast<unsigned>(home >> 24);
  const auto index = static_cast<std::uint32_t>(home & 0xffffff);
  if (slot == 0 || slot >= header().slots || chunk >= detail::chunk_count ||
      index >= detail::waits_in_chunk(chunk))
    return;
  process_slot& s = slot_at(slot);
  const std::uint64_t state = s.state.load(std::memory_order_acquire);
  if (make_owner(state, slot) != owner || state_of(state) != slot_state::live) return;
  if (chunk == 0) {
    s.woken_inline.fetch_or(std::uint64_t{1} << index, std::memory_order_seq_cst);
  } else {
    const auto block = static_cast<reference>(s.wait_chunks[chunk].load(std::memory_order_acquire));
    if (block == 0) return;
    auto* bitmap = reinterpret_cast<word*>(base_ + std::uint64_t{block} * detail::granule +
                                           sizeof(detail::block_header));
    bitmap[index / 64].fetch_or(std::uint64_t{1} << index % 64, std::memory_order_seq_cst);
  }
  kill_point();
  // seq_cst: before the look at `sleeping` in ring, as the sleeper's store of it comes before its look at
  // `woken`.
  s.woken.fetch_or(std::uint64_t{1} << chunk, std::memory_order_seq_cst);
}

void arena::prepare_to_ring() {
  if (ring_socket_ >= 0) return;
  ring_socket_ = open_ring_socket();
  if (ring_socket_ < 0) sys::throw_errno("socket");
}

/// A datagram counts against the buffer of its sender until it is read (unix(7), SO_SNDBUF), so a few hundred
/// sleepers that have not come round yet fill it. The buffer of a new socket is empty, and what was sent through
/// the old one stays with its receivers.
void arena::renew_ring_socket() noexcept {
  const int fresh = open_ring_socket();
  if (fresh >= 0) {
    ::close(std::exchange(ring_socket_, fresh));
    return;
  }
  // Not one descriptor left. Losing a wake would be worse than waiting for the first of those that were sent.
  pollfd room{ring_socket_, POLLOUT, 0};
  while (::poll(&room, 1, -1) < 0 && errno == EINTR) {
  }
}

bool arena::is_asleep(std::uint64_t owner) const noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  return slot != 0 && slot < header().slots && slot_at(slot).sleeping.load(std::memory_order_relaxed) != 0;
}

void arena::ring(std::uint64_t owner, bool always) noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  if (owner == 0 || owner == me_ || slot >= header().slots) return;
  process_slot& s = slot_at(slot);
  const bool sleeps = s.sleeping.load(std::memory_order_seq_cst) != 0 && s.sleeping.exchange(0) != 0;
  if (!sleeps && !always) return;
  kill_point();
  const std::uint64_t name[2] = {s.port_name[0].load(std::memory_order_acquire), s.port_name[1].load()};
  if (name[0] == 0) return;
  const detail::port_address address(name);
  const auto send = [&] {
    return ::sendto(ring_socket_, "", 1, MSG_NOSIGNAL, address.get(), address.length()) == 1;
  };
  bool sent = send();
  if (!sent && errno == EAGAIN) {  // our buffer is full, or its
    renew_ring_socket();
    sent = send();
  }
  // Still EAGAIN: datagrams are pending at it, so it will wake. ECONNREFUSED: it is dead. Both are as good as success.
  if (sent) ++rings_sent;
}

void arena::drain() noexcept {
  if (my_slot_ == nullptr) return;
  process_slot& s = *my_slot_;
  if (s.woken.load(std::memory_order_relaxed) == 0) return;
  const std::uint64_t chunks = s.woken.exchange(0, std::memory_order_seq_cst);
  if ((chunks & 1) != 0) {
    for (std::uint64_t bits = s.woken_inline.exchange(0, std::memory_order_seq_cst); bits != 0;
         bits &= bits - 1) {
      tell(0, static_cast<std::uint32_t>(std::countr_zero(bits)));
    }
  }
  for (unsigned chunk = 1; chunk < wait_chunks_; ++chunk) {
    if ((chunks >> chunk & 1) == 0) continue;
    const auto block = static_cast<reference>(s.wait_chunks[chunk].load(std::memory_order_relaxed));
    auto* bitmap = reinterpret_cast<word*>(base_ + std::uint64_t{block} * detail::granule +
                                           sizeof(detail::block_header));
    for (std::uint32_t i = 0; i < (detail::waits_in_chunk(chunk) + 63) / 64; ++i) {
      if (bitmap[i].load(std::memory_order_relaxed) == 0) continue;
      for (std::uint64_t bits = bitmap[i].exchange(0, std::memory_order_seq_cst); bits != 0;
           bits &= bits - 1) {
        tell(chunk, i * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
      }
    }
  }
}

void arena::tell(unsigned chunk, std::uint32_t index) noexcept {
  const std::size_t at = wait_index(std::uint64_t{chunk} << 24 | index);
  if (at < waiters_.size() && waiters_[at] != nullptr) waiters_[at]->woken(*waiters_[at]);
}

// ---- death ----

void arena::on_death(std::uint32_t slot) {
  if (slot == 0 || slot >= header().slots) return;
  require_slot();
  process_slot& s = slot_at(slot);
  std::uint64_t state = s.state.load(std::memory_order_acquire);
  while (state_of(state) == slot_state::reserved || state_of(state) == slot_state::live) {
    if (s.state.compare_exchange_weak(state, make_state(state >> 32, slot_state::dead),
                                      std::memory_order_acq_rel))
      break;
  }
  if (state_of(s.state.load(std::memory_order_acquire)) == slot_state::dead) reclaim(slot);
  // The cell that names the child goes last: until then a successor would do this again.
  const auto found = children_.find(slot);
  if (found == children_.end()) return;
  found->second->store(0, std::memory_order_release);
  return_cell(*found->second);
  children_.erase(found);
  std::erase(orphans_, slot);
  std::erase(new_orphans_, slot);
}

void arena::reclaim(std::uint32_t slot) {
  process_slot& s = slot_at(slot);
  // One at a time; a reclaimer that died is followed by the next.
  std::uint64_t other = 0;
  if (!s.reclaimer.compare_exchange_strong(other, me_, std::memory_order_acq_rel) && other != me_) {
    if (!is_dead(other) || !s.reclaimer.compare_exchange_strong(other, me_, std::memory_order_acq_rel))
      return;
  }
  if (state_of(s.state.load(std::memory_order_acquire)) != slot_state::dead) {  // another has just finished
    s.reclaimer.store(0, std::memory_order_release);
    return;
  }
  word& cell = take_cell();
  cell.store(detail::make_cell(held::reclaiming, slot), std::memory_order_release);
  kill_point();
  repair_intents(s);
  leave_wait_lists(s);
  empty_cells(slot, false);
  empty_cells(slot, true);
  for (unsigned chunk = 1; chunk < detail::chunk_count; ++chunk) {
    for (word* holder : {&s.wait_chunks[chunk], &s.cell_chunks[chunk]}) {
      const auto block = detail::cell_reference(holder->load(std::memory_order_acquire));
      if (block != 0) release(block, *holder);
    }
  }
  free_slot(slot);
  kill_point();
  cell.store(0, std::memory_order_release);
  return_cell(cell);
}

void arena::repair_intents(process_slot& dead) {
  { section_guard repaired(*this, header().heap_section); }
  if (const std::uint64_t owner = dead.intent_ring.load(std::memory_order_acquire); owner != 0) {
    ring(owner, true);
    dead.intent_ring.store(0, std::memory_order_release);
  }
  if (const auto list = static_cast<reference>(dead.intent_list.load(std::memory_order_acquire)); list != 0) {
    auto& waits_in = at<detail::wait_list>(list);
    // Also if nobody seems to wait: the count may be in the transaction that is to be finished, with words of the slot.
    detail::repair(*this, waits_in);
    // Whether it woke anyone is unknown; one too many does no harm.
    detail::wake(*this, waits_in, 1);
    dead.intent_list.store(0, std::memory_order_release);
  }
  if (const auto object = static_cast<reference>(dead.intent_object.load(std::memory_order_acquire));
      object != 0) {
    if (const auto* header_of = checked_header(object); header_of != nullptr) {
      const auto tag = header_of->tag.load(std::memory_order_relaxed);
      const auto* kind = detail::find_object_kind(static_cast<std::uint8_t>(tag & 0xff));
      if (kind != nullptr && kind->repair != nullptr) kind->repair(*this, object);
    }
    dead.intent_object.store(0, std::memory_order_release);
  }
}

void arena::leave_wait_lists(process_slot& dead) {
  const auto leave_one = [this](wait_entry& entry) {
    const auto list = static_cast<reference>(entry.list.load(std::memory_order_acquire));
    if (list == 0) return;
    auto& waits_in = at<detail::wait_list>(list);
    // Even one that waited: it may have been woken, found nothing and been killed before it could look again.
    detail::leave(*this, waits_in, entry);
    detail::settle_wake(*this, waits_in, true);
  };
  for (wait_entry& entry : dead.waits) leave_one(entry);
  for (unsigned chunk = 1; chunk < detail::chunk_count; ++chunk) {
    const auto block = detail::cell_reference(dead.wait_chunks[chunk].load(std::memory_order_acquire));
    if (block == 0) continue;
    const reference first = block + 1 + detail::bitmap_words(chunk) / 8;
    for (std::uint32_t i = 0; i < detail::waits_in_chunk(chunk); ++i) leave_one(at<wait_entry>(first + i));
  }
}

/// First what refers to objects, then the references to them.
void arena::empty_cells(std::uint32_t slot, bool objects) {
  process_slot& s = slot_at(slot);
  for (unsigned chunk = 0; chunk < detail::chunk_count; ++chunk) {
    if (chunk > 0 && s.cell_chunks[chunk].load(std::memory_order_acquire) == 0) continue;
    for (std::uint32_t i = 0; i < detail::cells_in_chunk(chunk); ++i) {
      word& cell = cell_at(s, chunk, i);
      const std::uint64_t value = cell.load(std::memory_order_acquire);
      const held kind = detail::cell_kind(value);
      const reference what = detail::cell_reference(value);
      if (kind == held::nothing || objects != (kind == held::object || kind == held::dying)) continue;
      kill_point();
      const bool is_block = kind != held::child && kind != held::orphan && kind != held::reclaiming;
      if (is_block && checked_header(what) == nullptr) {
        cell.store(0, std::memory_order_release);  // only a process gone wild writes such a cell
      } else if (kind == held::block) {
        release(what, cell);
      } else if (kind == held::object || kind == held::dying) {
        drop(what, cell);
      } else if (kind == held::child || kind == held::orphan) {
        // Ours from now on. Named twice for a moment, which is harmless: cleaning up twice is.
        word& mine = take_cell();
        mine.store(detail::make_cell(held::orphan, what), std::memory_order_release);
        kill_point();
        cell.store(0, std::memory_order_release);
        children_.emplace(what, &mine);
        orphans_.push_back(what);
        new_orphans_.push_back(what);
      } else if (kind == held::reclaiming) {
        if (what != slot && what < header().slots && state_of(slot_at(what).state.load()) == slot_state::dead)
          reclaim(what);
        cell.store(0, std::memory_order_release);
      } else {
        const auto* header_of = checked_header(what);
        const auto* object =
            header_of == nullptr
                ? nullptr
                : detail::find_object_kind(static_cast<std::uint8_t>(header_of->tag.load() & 0xff));
        if (object != nullptr && object->give_back != nullptr) object->give_back(*this, cell);
        cell.store(0, std::memory_order_release);
      }
    }
  }
}

void arena::free_slot(std::uint32_t slot) {
  auto& h = header();
  process_slot& s = slot_at(slot);
  for (word* w :
       {&s.pid, &s.parent, &s.port_name[0], &s.port_name[1], &s.sleeping, &s.woken, &s.woken_inline}) {
    w->store(0, std::memory_order_relaxed);
  }
  section_guard g(*this, h.heap_section);
  g.set(s.next_free, g.get(h.free_slots));
  g.set(s.reclaimer, 0);
  g.set(s.state, make_state(s.state.load(std::memory_order_relaxed) >> 32, slot_state::free));
  g.set(h.free_slots, slot);
  g.commit();
}

std::vector<std::pair<std::uint32_t, int>> arena::take_orphans() {
  std::vector<std::pair<std::uint32_t, int>> taken;
  for (const std::uint32_t slot : std::exchange(new_orphans_, {}))
    taken.emplace_back(slot, static_cast<int>(slot_at(slot).pid.load()));
  return taken;
}

std::size_t arena::sweep_orphans() {
  std::size_t swept = 0;
  const std::vector<std::uint32_t> all = orphans_;
  for (const std::uint32_t slot : all) {
    const int pid = static_cast<int>(slot_at(slot).pid.load());
    if (pid == 0 || !process_is_gone(pid)) continue;
    on_death(slot);
    ++swept;
  }
  return swept;
}

}  // namespace brood
