// The kinds of objects there are. Each is in a file of its own.
#pragma once

#include "manager/session.hpp"

namespace brood::remote {

/// Reads the arguments of a `create` request.
object* make_dict(space& where, std::uint64_t type, call& c);
object* make_list(space& where, std::uint64_t type, call& c);
object* make_set(space& where, std::uint64_t type, call& c);
object* make_value(space& where, std::uint64_t type, call& c);
object* make_queue(space& where, std::uint64_t type, call& c);
object* make_lock(space& where, std::uint64_t type, call& c);
object* make_semaphore(space& where, std::uint64_t type, call& c);
object* make_event(space& where, std::uint64_t type, call& c);
object* make_condition(space& where, std::uint64_t type, call& c);
object* make_barrier(space& where, std::uint64_t type, call& c);
object* make_user_object(space& where, std::uint64_t type, call& c);

object* make_object(space& where, kind what, std::uint64_t type, call& c);

[[noreturn]] void refuse_method(kind what);

}  // namespace brood::remote
