#include "manager/make_object.hpp"

#include "manager/outcome_error.hpp"

namespace brood::remote {

object* make_object(space& where, kind what, std::uint64_t type, call& c) {
  switch (what) {
    case kind::dict:
      return make_dict(where, type, c);
    case kind::list:
      return make_list(where, type, c);
    case kind::set:
      return make_set(where, type, c);
    case kind::value:
      return make_value(where, type, c);
    case kind::queue:
      return make_queue(where, type, c);
    case kind::lock:
      return make_lock(where, type, c);
    case kind::semaphore:
      return make_semaphore(where, type, c);
    case kind::event:
      return make_event(where, type, c);
    case kind::condition:
      return make_condition(where, type, c);
    case kind::barrier:
      return make_barrier(where, type, c);
    case kind::user:
      return make_user_object(where, type, c);
  }
  throw failure(outcome::refused, "brood: the manager knows no such kind of object");
}

void refuse_method(kind what) {
  throw failure(outcome::refused,
                "brood: an object of kind " + std::to_string(static_cast<int>(what)) + " has no such method");
}

}  // namespace brood::remote
