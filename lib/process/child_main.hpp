// The life of a child that runs a function, from the clone to its end.
#pragma once

#include "process/child_setup.hpp"

namespace brood::detail {

/// In a fresh clone of the fork server: sets it up as its request says and runs its function, there or in a fresh image.
/// A failure is written to the slot.
[[noreturn]] void begin_child(const child_setup& setup) noexcept;

/// In the fork server: calls once what children call, so that they find symbols looked up and tables filled. The
/// dynamic linker's work would else be done again in each of them.
void rehearse();

/// In a fresh image started by `begin_child`: runs its function.
[[noreturn]] void begin_executed_child() noexcept;

}  // namespace brood::detail
