// process_table: who belongs to the family, and who cleans up after whom.
#pragma once

#include <cstdint>
#include <optional>

#include "brood/arena/detail/mapping.hpp"
#include "brood/arena/process_id.hpp"
#include "brood/export.hpp"

namespace brood {

/// A process whose parent died, to be watched by the one who cleaned up after that.
struct orphan {
  process_id id;
  int pid;     // 0: it was never made, and will not be
  bool ended;  // it has been reaped; the clean-up after it was interrupted
};

namespace detail {

/// The family's table of processes, and this process's slot in it. The life of a slot is drawn at `process_slot`.
/// Sections are taken in the name of that slot, so without one nothing in shared memory can be changed.
class BROOD_API process_table {
 public:
  explicit process_table(mapping& map) noexcept : map_(map) {}

  process_id self() const noexcept { return process_id::of_word(me_); }
  /// The word of `self`, or 0 without a slot.
  std::uint64_t me() const noexcept { return me_; }
  process_slot& my_slot() const noexcept { return *my_slot_; }
  bool has_slot() const noexcept { return my_slot_ != nullptr; }
  /// Throws `std::logic_error` if this process has no slot, and `forked_process` in a fork of the application's own.
  void require_slot();

  /// Takes the first slot of a new table, whose process nobody cleans up after.
  void found_family() noexcept;

  // Documented at `family_memory`, which passes them on.

  process_id reserve_slot();
  void adopt_slot(process_id id);
  /// Adopts it when this process first needs one: most children never touch shared memory, and its pages would cost
  /// them more than the rest of their start. Only for a process without handles.
  void adopt_slot_when_needed(process_id id) noexcept { to_adopt_ = id; }
  bool note_pid(process_id id, int pid) noexcept;
  int pid_of(process_id id) const noexcept;
  std::optional<orphan> next_orphan() noexcept;
  void watch_orphan(process_id id) noexcept;
  void unwatch_orphan(process_id id) noexcept;
  /// Takes one of the caretakers' places. 0, the pid of who has one already, or -1.
  int become_caretaker();

  /// In a fork: the slot is the parent's. Only stores, as another thread may have been at work.
  void forget_slot() noexcept;
  /// Whether a process that was named in shared memory as `generation << 32 | slot` is gone.
  bool is_dead(std::uint64_t owner) const noexcept;

  // ---- steps of a clean-up ----

  /// Moves the slot of this process's child to `dead`. False if it is not one (any more): there is nothing to do.
  bool mark_dead(process_id id) noexcept;
  /// Makes orphans of this process of the first one, and of earlier caretakers, that are dead and have no parent.
  void adopt_first_process() noexcept;
  /// Makes the children of the dead one this process's orphans.
  void inherit_children(process_slot& dead) noexcept;
  void free_slot(std::uint32_t slot) noexcept;

  // ---- sections; their states are in section.hpp ----

  void lock(section& s);
  void unlock(section& s) noexcept;
  mapping& map() const noexcept { return map_; }

 private:
  void lock_contended(section& s);
  void replay(section& s) noexcept;
  bool is_my_child(process_id id) const noexcept;
  std::uint32_t first_caretaker() const noexcept {
    return static_cast<std::uint32_t>(map_.header().slots) - caretaker_slots;
  }
  void move_child(process_id id, word& list) noexcept;
  void adopt_dead(std::uint32_t slot) noexcept;
  void add_to_family(section_guard& g, std::uint32_t slot, word& list);
  void leave_family(section_guard& g, std::uint32_t slot, process_slot& parent);

  mapping& map_;
  std::uint64_t me_ = 0;
  process_slot* my_slot_ = nullptr;
  process_id to_adopt_;
};

}  // namespace detail
}  // namespace brood
