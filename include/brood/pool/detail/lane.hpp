// lane: what lies between a pool and one of its workers in shared memory: a ring of tasks, each beside its
// result.
//
// Task number n (counted from 0, modulo 2^32) lies in slot n modulo `lane_slots`. One word, `window`, holds
// how many tasks the worker has claimed and how many it was given. Both sides change it by compare-and-swap
// only:
//
//   parent                 worker                          a slot is then
//   write the slot                                         the parent's
//   given + k                                              unclaimed: either side's by the next step
//   given - k  (takes back those not begun)                the parent's again
//                          claimed + 1                     the worker's: it runs the task, writes the result
//                          published + 1                   the parent's: it reads the result, frees its
//                          blocks
//
// What a task is, is read after it was claimed, so that a slot which was taken back and given again in
// between does no harm. As results come in the order of the tasks, and there is one for each, neither side
// can overrun the other. Killed anywhere, the worker leaves exactly one of: task n unclaimed (somebody else
// gets it), claimed and not published (that is the task its death costs, with `progress` in the slot saying
// which of its items are done), or published (the result stands). A result's blocks are held by words of its
// slot, never by the worker, so they survive it.
//
// `running` names what runs, so that it can be ended without hitting the next:
//   0 --worker: begins--> name --worker: ends it--> 0                   names are unique: a time, or the
//   task's number
//                         name --parent: asks--> name | asked_to_end    the function sees it, and may end early
//                         name --parent: condemns--> name | condemned   the worker, at the end, stops where
//                         it is; also after it was asked
// Whoever condemned kills the worker; until then nothing of the condemned item is published.
//
// Orders: `given + k` and `published + 1` release what was written to the slots, claim and harvest acquire
// it. Both are full barriers, as a look at who sleeps follows; see wait_list.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "brood/arena/detail/object_kit.hpp"
#include "brood/arena/detail/wait_list.hpp"
#include "brood/export.hpp"
#include "brood/process/detail/function_entry.hpp"

namespace brood::detail {

inline constexpr std::uint32_t lane_slots = 128;
inline constexpr std::size_t inline_request = 128;
inline constexpr std::size_t inline_result = 128;

/// How a worker left a task before its last item.
enum class task_ending : std::uint64_t {
  complete = 0,   // every item is done, or the task was abandoned
  stopped = 1,    // at an item that threw, as it was told to
  split = 2,      // after an item whose result holds handles: the rest is to be given again
  no_memory = 3,  // the arena has no room for the result of the next item
};

struct lane_slot {
  // The parent's, until it is claimed.
  function_token function;
  std::uint64_t size;   // bytes of the request
  reference block;      // that holds the request and belongs to the parent; 0: it is inline
  std::uint32_t first;  // items of the request to run
  std::uint32_t last;
  std::uint32_t timed : 1;  // items are named by when they began
  std::uint32_t stop_at_error : 1;
  std::uint32_t : 30;
  word abandoned;  // nobody wants it any more; set at any time
  std::uint64_t spare0[2];
  // The worker's, from the claim to the publication.
  word progress;   // results written: place of the last << 32 | number
  word result[2];  // cells (held::block): blocks of results; places 1 and 2, place 0 is inline
  word attached;   // cell (held::block): a block with references to the objects the results name
  word ending;     // task_ending
  std::uint64_t spare1[3];
  std::byte request[inline_request];
  std::byte inline_results[inline_result];
};
static_assert(sizeof(lane_slot) == 128 + inline_request + inline_result &&
              offsetof(lane_slot, progress) == 64);

struct lane_state {
  word window;      // claimed << 32 | given
  word closing;     // 1: the worker ends when nothing is left to claim
  word slots_used;  // how many slots have ever held anything
  word spare0[5];
  word published;  // results; on a line of the worker's own
  word running;
  word ready;  // 1 when the worker's initializer has returned
  word spare1[5];
  wait_list requests;  // where the worker waits
  lane_slot slots[lane_slots];
};
static_assert(offsetof(lane_state, published) == 64 &&
              sizeof(lane_state) + sizeof(block_header) <= unit_bytes);

inline constexpr std::uint64_t condemned = std::uint64_t{1} << 63;
inline constexpr std::uint64_t named_by_time = std::uint64_t{1} << 62;
inline constexpr std::uint64_t asked_to_end = std::uint64_t{1} << 61;

/// Nanoseconds of the clock that all processes share.
BROOD_API std::uint64_t lane_clock() noexcept;

/// One side's view of a lane.
class BROOD_API lane final : public shared_object {
 public:
  static constexpr std::uint8_t kind_number = lane_kind;
  /// Throws `arena_full`.
  static std::shared_ptr<lane> create(arena& memory);
  lane(arena& memory, reference block, word& cell);
  lane(arena& memory, object_name name);

  lane_state& state() const noexcept { return *state_; }
  lane_slot& slot(std::uint32_t task) const noexcept { return state_->slots[task % lane_slots]; }

  std::uint32_t claimed() const noexcept { return half(state_->window.load(std::memory_order_acquire), 32); }
  std::uint32_t given() const noexcept { return half(state_->window.load(std::memory_order_acquire), 0); }
  std::uint32_t published() const noexcept {
    return static_cast<std::uint32_t>(state_->published.load(std::memory_order_acquire));
  }
  bool is_ready() const noexcept { return state_->ready.load(std::memory_order_acquire) != 0; }

  // ---- the parent's side ----

  /// The slot of a task about to be written, with nothing of the one before it.
  lane_slot& prepare(std::uint32_t task) noexcept;
  /// Hands over the next `count` slots, which have been written.
  void give(std::uint32_t count) noexcept;
  /// Takes back the last of those that are not begun, at most `most`; gives how many.
  std::uint32_t take_back(std::uint32_t most) noexcept;
  /// Ends the worker once it has done what it was given.
  void close();
  /// After something was given: ends the worker's sleep.
  void wake_worker();
  /// What runs now, and is not condemned; 0 if nothing is known to.
  std::uint64_t running() const noexcept;
  /// Marks what runs, to be told by a signal. False if that item has ended by itself.
  bool ask(std::uint64_t name) noexcept;
  /// False if that item has ended by itself. After true the worker publishes nothing more and must be killed.
  bool condemn(std::uint64_t name) noexcept;
  /// Frees the blocks of a result.
  void free_result(lane_slot& slot);

  // ---- the worker's side ----

  bool is_closing() const noexcept { return state_->closing.load(std::memory_order_acquire) != 0; }
  void set_ready() noexcept { state_->ready.store(1, std::memory_order_seq_cst); }
  std::optional<std::uint32_t> claim() noexcept;
  bool is_asked() const noexcept {
    return (state_->running.load(std::memory_order_acquire) & asked_to_end) != 0;
  }
  void publish(std::uint32_t task) noexcept { state_->published.store(task + 1u, std::memory_order_seq_cst); }
  bool anything_to_do() const noexcept { return claimed() != given() || is_closing(); }

  static std::uint64_t make_window(std::uint32_t claimed, std::uint32_t given) noexcept {
    return std::uint64_t{claimed} << 32 | given;
  }

 private:
  static std::uint32_t half(std::uint64_t window, unsigned shift) noexcept {
    return static_cast<std::uint32_t>(window >> shift);
  }

  lane_state* state_ = nullptr;
};

/// Where the workers of a pool tell it that there are results: a bit for each, and the pool's sleep.
struct hub_state {
  std::uint64_t words;  // of bits, behind this
  std::uint64_t spare[7];
  wait_list results;
};

class BROOD_API hub final : public shared_object {
 public:
  static constexpr std::uint8_t kind_number = hub_kind;
  static std::shared_ptr<hub> create(arena& memory, std::uint32_t seats);
  hub(arena& memory, reference block, word& cell);
  hub(arena& memory, object_name name);

  /// Something has happened on the lane of that seat. A bit that is set already was set for an earlier
  /// happening, and not looked at since: whoever will look at it sees this one too.
  void notify(std::uint32_t seat);
  bool anything() const noexcept;
  /// Bits `index * 64` and up, which are cleared: look at those lanes after this.
  std::uint64_t take(std::uint64_t index) noexcept;
  std::uint64_t words() const noexcept { return state_->words; }
  wait_list& results() const noexcept { return state_->results; }

 private:
  word* bits() const noexcept { return reinterpret_cast<word*>(state_ + 1); }

  hub_state* state_ = nullptr;
};

/// How a lane and a hub reach the worker: as any handle, among its arguments.
template <class Object>
class pool_handle {
 public:
  pool_handle() = default;
  explicit pool_handle(std::shared_ptr<Object> object) : object_(std::move(object)) {}
  Object& operator*() const noexcept { return *object_; }
  Object* operator->() const noexcept { return object_.get(); }
  const std::shared_ptr<Object>& object() const noexcept { return object_; }

  template <class Archive>
  void save(Archive& archive) const {
    save_object(archive, object_);
  }
  template <class Archive>
  void load(Archive& archive) {
    object_ = load_object<Object>(archive);
  }

 private:
  std::shared_ptr<Object> object_;
};

}  // namespace brood::detail
