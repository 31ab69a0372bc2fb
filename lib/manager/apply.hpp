// Functions of the user's that are applied to a value in the server, in one step.
#pragma once

#include "manager/session.hpp"

namespace brood::remote {

/// Reads the function's name and arguments; gives the new value. `present` is null where there is none yet.
stored_value apply_function(call& c, const stored_value* present);

}  // namespace brood::remote
