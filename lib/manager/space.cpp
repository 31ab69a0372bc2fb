#include "manager/space.hpp"

#include <sys/random.h>

#include <algorithm>
#include <unordered_set>

#include "brood/manager/error.hpp"
#include "manager/outcome_error.hpp"
#include "manager/session.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::remote {

// --- references ---

object_ref::object_ref(object* o) noexcept : object_(o) {
  if (o != nullptr) ++o->references_;
}

object_ref::~object_ref() {
  if (object_ != nullptr && --object_->references_ == 0) object_->space_.unreferenced(*object_);
}

object::object(space& where, kind what, std::uint64_t type) : space_(where), kind_(what), type_(type) {
  id_ = where.add(*this);  // now that it is whole
}

object::~object() {
  for (session* who : involved_) who->leave(*this);
  space_.objects_.erase(id_);
}

void object::involve(session& who) {
  if (involved_.insert(&who).second) who.join(*this);
}

// --- space ---

space::space(const limits& bounds) : limits_(bounds) {
  if (sys::getrandom(&instance_, sizeof instance_) != sizeof instance_) sys::throw_errno("getrandom");
  instance_ |= 1;  // 0: none
}

space::~space() {
  names_.clear();
  loans_.clear();
  sweep();
  // What is left are cycles, or held by a session that outlives its space, which is a mistake.
  ending_ = true;
  for (const auto& [id, o] : objects_) o->let_go();  // none is destroyed before the sweep
  sweep();
}

number space::add(object& o) {
  objects_.emplace(++last_, &o);
  unreferenced(o);  // until somebody refers to it
  return last_;
}

object& space::find(number id) const {
  const auto found = objects_.find(id);
  if (found == objects_.end()) throw failure(outcome::gone, "brood: the manager has no such object any more");
  return *found->second;
}

object& space::named(const std::string& name, kind what, std::uint64_t type,
                     const std::function<object*()>& make) {
  const auto found = names_.find(name);
  if (found == names_.end()) {
    object* made = make();
    names_.emplace(name, object_ref(made));
    ++made->held_by_sessions_;
    return *made;
  }
  object& present = *found->second;
  if (present.what() != what || present.type() != type) {
    throw failure(outcome::refused, "brood: the manager's object \"" + name + "\" is of another type");
  }
  return present;
}

void space::lend(object& o) {
  loans_.push_back(
      {clock::now() + std::chrono::duration_cast<clock::duration>(limits_.loan), object_ref(&o)});
  ++o.held_by_sessions_;
}

clock::time_point space::next_loan_end() const noexcept {
  return loans_.empty() ? clock::time_point::max() : loans_.front().until;
}

void space::end_loans(clock::time_point now) {
  while (!loans_.empty() && loans_.front().until <= now) {
    object& o = *loans_.front().what;
    if (--o.held_by_sessions_ == 0) suspect(o);
    loans_.pop_front();
  }
  sweep();
}

void space::unreferenced(object& o) noexcept {
  if (!std::exchange(o.doomed_, true)) o.next_doomed_ = std::exchange(unreferenced_, &o);
}

void space::suspect(object& o) noexcept {
  try {
    suspects_.push_back(o.id());
  } catch (const std::bad_alloc&) {
    ++postponed_;
  }
}

void space::sweep() noexcept {
  for (;;) {
    while (unreferenced_ != nullptr) {
      object* o = unreferenced_;
      unreferenced_ = o->next_doomed_;
      o->doomed_ = false;
      if (o->references_ == 0) delete o;  // it may have been referred to again
    }
    if (suspects_.empty() || ending_) return;
    const number next = suspects_.back();
    suspects_.pop_back();
    const auto found = objects_.find(next);
    try {
      if (found != objects_.end()) collect_cycle(*found->second);
    } catch (const std::bad_alloc&) {
      ++postponed_;
    }
  }
}

/// Of the objects that can be reached from `start`: if no session holds any, and all references to them come from among
/// them, nobody can ever reach them again. (Trial deletion, after Bacon and Rajan, "Concurrent Cycle Collection in
/// Reference Counted Systems", 2001.)
void space::collect_cycle(object& start) {
  if (start.held_by_sessions_ != 0 || start.references_ == 0) return;
  std::unordered_map<object*, std::size_t> inner{{&start, 0}};
  std::vector<object*> open{&start};
  bool reachable = false;
  while (!open.empty() && !reachable) {
    if (inner.size() > most_visited) {
      if (++postponed_ > objects_.size() / 2 + most_visited) collect_all();
      return;
    }
    object* o = open.back();
    open.pop_back();
    o->each_reference([&](object& other) {
      if (inner.size() > most_visited) return;
      if (inner.emplace(&other, 0).second) open.push_back(&other);
      ++inner[&other];
      reachable = reachable || other.held_by_sessions_ != 0;
    });
  }
  if (reachable) return;
  for (const auto& [o, count] : inner) {
    if (o->references_ != count) return;
  }
  const object_ref kept(&start);  // so that nothing is destroyed meanwhile
  for (const auto& [o, count] : inner) o->let_go();
}

/// The same for all objects at once: whatever cannot be reached from one that is held from outside. Its cost is shared by
/// the many suspects that were postponed.
void space::collect_all() {
  postponed_ = 0;
  std::unordered_map<object*, std::size_t> inner;
  for (const auto& [id, o] : objects_) {
    o->each_reference([&](object& other) { ++inner[&other]; });
  }
  std::unordered_set<object*> live;
  std::vector<object*> open;
  for (const auto& [id, o] : objects_) {
    const auto found = inner.find(o);
    const bool held = o->references_ > (found == inner.end() ? 0 : found->second);
    if (held && live.insert(o).second) open.push_back(o);
  }
  while (!open.empty()) {
    object* o = open.back();
    open.pop_back();
    o->each_reference([&](object& other) {
      if (live.insert(&other).second) open.push_back(&other);
    });
  }
  std::vector<object_ref> dead;
  for (const auto& [id, o] : objects_) {
    if (!live.contains(o)) dead.emplace_back(o);
  }
  for (const object_ref& o : dead) o->let_go();
}

}  // namespace brood::remote
