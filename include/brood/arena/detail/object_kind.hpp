// object_kind: what the arena must do for the objects of one kind (a queue, a lock, ...).
#pragma once

#include <cstdint>

#include "brood/arena/detail/layout.hpp"
#include "brood/export.hpp"

namespace brood {
struct snapshot;
class arena;
}  // namespace brood

namespace brood::detail {

class shared_object;

/// Kinds register themselves in the source file that defines them.
struct object_kind {
  /// Takes the object apart down to its own block. Called again from the start if the process doing it is killed.
  void (*destroy)(arena&, reference);
  /// A process died in the middle of changing it: finish what is committed, wake who may wait.
  void (*repair)(arena&, reference);
  /// A dead process's cell of kind `leased` or `custom` names it: give back what the cell says, and clear it.
  void (*give_back)(arena&, word& cell);
  /// Adds what there is to know of it, if it is something that a snapshot counts.
  void (*count)(shared_object&, snapshot&) = nullptr;
};

// What a block holds. All in one place, as two kinds with one number would be repaired as one.
inline constexpr std::uint8_t message_block = 1;
inline constexpr std::uint8_t chunk_block = 2;
inline constexpr std::uint8_t buffer_block = 3;
inline constexpr std::uint8_t lease_block = 4;
inline constexpr std::uint8_t storage_block = 5;
inline constexpr std::uint8_t name_block = 6;
inline constexpr std::uint8_t first_object_kind = 16;  // from here on: counted objects
inline constexpr std::uint8_t queue_kind = 16;
inline constexpr std::uint8_t pipe_end_kind = 17;
inline constexpr std::uint8_t buffer_kind = 18;
inline constexpr std::uint8_t fd_kind = 19;
inline constexpr std::uint8_t lock_kind = 20;
inline constexpr std::uint8_t rlock_kind = 21;
inline constexpr std::uint8_t semaphore_kind = 22;
inline constexpr std::uint8_t bounded_semaphore_kind = 23;
inline constexpr std::uint8_t event_kind = 24;
inline constexpr std::uint8_t condition_kind = 25;
inline constexpr std::uint8_t barrier_kind = 26;
inline constexpr std::uint8_t lane_kind = 27;
inline constexpr std::uint8_t hub_kind = 28;

/// Aborts if the number is taken.
BROOD_API void register_object_kind(std::uint8_t block_kind, const object_kind& functions) noexcept;
BROOD_API const object_kind* find_object_kind(std::uint8_t block_kind) noexcept;

}  // namespace brood::detail
