// Objects of the user's classes, and functions of the user's. A method that is a coroutine runs beside other calls, also
// of the same object.
#include <list>

#include "brood/manager/detail/registry.hpp"
#include "manager/apply.hpp"
#include "manager/make_object.hpp"
#include "manager/outcome_error.hpp"

namespace brood::remote {
namespace {

const registration& registered(registration::what kind, std::uint64_t key, const char* what) {
  const registration* found = registration::find(kind, key);
  if (found == nullptr) {
    throw failure(outcome::refused, std::string("brood: the manager's program has registered no such ") +
                                        what + "; it is registered where its program names it");
  }
  return *found;
}

/// Handles in arguments may be kept by the object: until it has used them once they do not count.
void lend(space& where, const argument_reader& arguments) {
  for (const number n : arguments.numbers()) where.lend(where.find(n));
}

std::vector<object_ref> references(space& where, const argument_reader& arguments) {
  std::vector<object_ref> result;
  for (const number n : arguments.numbers()) result.emplace_back(&where.find(n));
  return result;
}

class user_object final : public object {
 public:
  user_object(space& where, std::uint64_t type, const registration& its_class, void* made)
      : object(where, kind::user, type), class_(its_class), object_(made) {}
  ~user_object() override { class_.destroy(object_); }

  void handle(call& c) override;
  bool cancel(session& who, std::uint64_t id) override;
  void forget(session& who) override;
  void keep(std::vector<object_ref> others) noexcept { kept_ = std::move(others); }

 private:
  /// A coroutine of the class's that runs for a call. It keeps what it was given.
  struct running {
    running(session* caller, std::uint64_t call_id, object& o, std::vector<object_ref> given)
        : who(caller), id(call_id), self(&o), arguments(std::move(given)) {}

    session* who;  // null once that is gone
    std::uint64_t id;
    object_ref self;
    std::vector<object_ref> arguments;
    detail::linked_scope scope{nullptr};
    bool stopped = false;
    std::list<running>::iterator place{};
  };

  static task<> run(running& r, task<bytes> body);
  static void answer(session& to, std::uint64_t id, std::span<const std::byte> result);

  const registration& class_;
  void* object_;
  std::vector<object_ref> kept_;  // as long as this lives
  std::list<running> running_;
};

/// The result is written by the class's code as a value: its objects have yet to be counted.
void user_object::answer(session& to, std::uint64_t id, std::span<const std::byte> result) {
  if (result.empty()) {
    answering(to, id);
    return;
  }
  detail::byte_reader in(result);
  const stored_value value = read_stored(to.where(), in);
  answering(to, id).value(value);
}

void user_object::handle(call& c) {
  const registration& method = registered(registration::what::method, c.method, "method");
  if (method.owner != class_.owner) {
    throw failure(outcome::refused, "brood: the method is of another class than the object");
  }
  argument_reader arguments(where().home, c.in, this);
  if (method.call != nullptr) {
    const bytes result = method.call(object_, arguments);
    lend(where(), arguments);
    return answer(c.from, c.id, result);
  }
  task<bytes> body = method.start(object_, arguments);
  lend(where(), arguments);
  auto kept = references(where(), arguments);
  if (c.id != 0) c.from.park(c.id, *this);
  running& r = running_.emplace_back(c.id != 0 ? &c.from : nullptr, c.id, *this, std::move(kept));
  r.place = std::prev(running_.end());
  body.set_scope(r.scope);
  where().calls.start(run(r, std::move(body)));
}

task<> user_object::run(running& r, task<bytes> body) {
  try {
    const bytes result = co_await std::move(body);
    if (r.who != nullptr) answer(*r.who, r.id, result);
  } catch (const cancelled&) {
    if (r.who != nullptr && r.stopped) {
      answering(*r.who, r.id, outcome::cancelled).text("cancelled");
    } else if (r.who != nullptr) {
      answering::failed(*r.who, r.id);
    }
  } catch (...) {
    if (r.who != nullptr) answering::failed(*r.who, r.id);
  }
  object_ref kept = std::move(r.self);
  space& where = kept->where();
  static_cast<user_object&>(*kept).running_.erase(r.place);
  kept = {};
  where.sweep();
}

bool user_object::cancel(session& who, std::uint64_t id) {
  for (running& r : running_) {
    if (r.who != &who || r.id != id) continue;
    r.stopped = true;
    r.scope.request_stop();
  }
  return false;  // it answers when it has ended
}

void user_object::forget(session& who) {
  for (running& r : running_) {
    if (r.who != &who) continue;
    r.who = nullptr;
    r.scope.request_stop();
  }
}

}  // namespace

object* make_user_object(space& where, std::uint64_t type, call& c) {
  const std::uint64_t constructor = c.fixed();
  const registration& its_class = registered(registration::what::user_class, constructor,
                                             "class with a constructor from arguments of these types");
  argument_reader arguments(where.home, c.in);
  object* made = new user_object(where, type, its_class, its_class.make(arguments));
  lend(where, arguments);
  return made;
}

number argument_reader::keep(const registration& its_class, void* made, std::uint64_t type) {
  std::unique_ptr<void, void (*)(void*) noexcept> owned(made, its_class.destroy);
  auto others = references(target_->where(), *this);
  others.emplace_back(target_);
  auto* o = new user_object(target_->where(), type, its_class, made);
  static_cast<void>(owned.release());
  o->keep(std::move(others));
  return o->id();
}

stored_value apply_function(call& c, const stored_value* present) {
  const registration& function = registered(registration::what::function, c.fixed(), "function");
  argument_reader arguments(c.from.where().home, c.in);
  const bytes result = function.update(present != nullptr ? &present->data : nullptr, arguments);
  detail::byte_reader in(result);
  return read_stored(c.from.where(), in);
}

}  // namespace brood::remote
