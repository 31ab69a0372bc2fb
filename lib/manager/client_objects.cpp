// A client's holds on the objects of its manager, and how they come back with another one.
#include <algorithm>
#include <utility>

#include "manager/client.hpp"

namespace brood::remote {

void client::search::settle(const answer& came) noexcept {
  const object_pointer kept = object;
  client& asked = owner;
  asked.searches_.remove_if([this](const search& each) { return &each == this; });
  asked.found(kept, came);
}

void client::seek(const object_pointer& object) {
  if (object->named_by == nullptr) {
    throw object_gone("brood: the manager of this object is another one now, and the object had no name");
  }
  if (object->sought) return;
  const std::uint64_t id = next_id_++;
  search& begun = searches_.emplace_back(*this, object);
  try {
    pending_.emplace(id, pending{object->named_by, &begun});
    write_request(id, *object->named_by);
  } catch (...) {
    pending_.erase(id);
    searches_.pop_back();
    throw;
  }
  object->sought = true;
  want_flush();
}

void client::found(const object_pointer& object, const answer& came) noexcept {
  object->sought = false;
  std::exception_ptr failure = came.failure;
  try {
    if (!failure) take_up(object, came);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) return write_deferred();
  std::erase_if(deferred_, [&](std::uint64_t each) {
    const auto entry = pending_.find(each);
    const bool waits_for_it = entry != pending_.end() && entry->second.what->target() == object;
    if (waits_for_it) fail(each, failure);
    return waits_for_it;
  });
}

/// It is there, under another number.
void client::take_up(const object_pointer& object, const answer& came) {
  detail::byte_reader in(came.body);
  const number id = in.read_number();
  forget(*object);
  auto& place = references_[id];
  if (place.expired()) place = object;
  object->id = id;
  object->instance = instance_;
  object->epoch = epoch_;
  object->grants = 1;
}

void client::forget(const reference& object) noexcept {
  const auto place = references_.find(object.id);
  if (place == references_.end()) return;
  const auto known = place->second.lock();
  if (known == nullptr || known.get() == &object) references_.erase(place);
}

object_pointer client::known(std::uint64_t instance, number id, std::uint64_t type) {
  auto& place = references_[id];
  auto found = place.lock();
  if (found && found->instance == instance) {
    if (found->type == 0) found->type = type;
    if (type != 0 && found->type != type) throw decode_error("a handle of an object of another type");
    return found;
  }
  auto made = std::make_shared<reference>(shared_from_this(), instance, id, type);
  place = made;
  return made;
}

object_pointer client::granted(number id) {
  auto object = known(instance_, id, 0);
  if (object->epoch != epoch_) {
    object->epoch = epoch_;
    object->grants = 0;
  }
  ++object->grants;
  return object;
}

void client::release(reference& object) noexcept {
  forget(object);
  if (state_ != state::open || object.epoch != epoch_ || object.grants == 0) return;
  if (loop_ != runtime::current_or_null()) return;
  try {
    write_small(operation::release, object.id, object.grants);
    want_flush();
  } catch (...) {
    break_off();
  }
}

void client::lend(reference& object) noexcept {
  if (state_ != state::open || object.instance != instance_ || loop_ != runtime::current_or_null()) return;
  try {
    hold(object);
    write_small(operation::lend, object.id, std::nullopt);
    // Now, not at the end of the turn: the process may end with it, and its message is on its way.
    link_->flush();
  } catch (...) {
  }
}

}  // namespace brood::remote
