// queue_records: messages of a queue that are out on lease or came back.
#pragma once

#include <span>

#include "brood/channel/detail/queue_core.hpp"

namespace brood::detail {

inline lease_record& record_at(arena& memory, reference block) noexcept {
  return memory.map.state_at<lease_record>(block);
}

/// Frees the record that `holder` names, and its message.
void free_record(arena& memory, word& holder);
/// Moves the lease that `cell` names to the list of those that came back, and clears the cell.
void put_back(arena& memory, queue_state& state, word& cell);
/// Takes the oldest of those that came back out of the list, within the transaction.
reference unlink_returned(arena& memory, queue_state& state, section_guard& g);

/// What a queue says of a message cannot be: throws `error`.
[[noreturn]] void fail_overwritten();
/// The message in a block of its own, checked.
std::span<const std::byte> block_bytes(arena& memory, reference block);
/// The message of a lease, checked.
std::span<const std::byte> record_bytes(arena& memory, reference block);

}  // namespace brood::detail
