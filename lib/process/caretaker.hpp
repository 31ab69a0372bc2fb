// The end of a family's first process, when others of the family live on.
#pragma once

namespace brood::detail {

/// For a fork server of the first process, when that is dead. Gives back what the first process held in shared memory, as nobody
/// is its parent, then does the same for all it has left, and returns when nobody of the family lives. One server does it; the
/// others wait, and the next goes on where one is killed. The caller is to end: it has a place in the family's memory now.
void take_care_of_family() noexcept;

}  // namespace brood::detail
