// queue: values between any number of producers and consumers, with a bound on how many.
#include <list>
#include <map>
#include <stdexcept>

#include "brood/coroutine/error.hpp"
#include "manager/make_object.hpp"
#include "manager/outcome_error.hpp"
#include "manager/parked.hpp"

namespace brood::remote {
namespace {

/// An item moves from who waits to the queue, on lease and back without need of memory.
using item_list = std::list<stored_value>;

struct parked_put : parked_call {
  item_list value;  // one
};
struct parked_get : parked_call {
  std::uint64_t most;  // 0: one, not as a list
  bool leased;
};

class queue_object final : public object {
 public:
  queue_object(space& where, std::uint64_t type, std::uint64_t capacity)
      : object(where, kind::queue, type), capacity_(capacity) {}

  void handle(call& c) override;
  bool cancel(session& who, std::uint64_t id) override {
    return puts_.drop(who, id) || gets_.drop(who, id) || joins_.drop(who, id);
  }
  void forget(session& who) override {
    puts_.forget(who);
    gets_.forget(who);
    joins_.forget(who);
    end_leases(who);
  }
  void each_reference(const std::function<void(object&)>& visit) const override {
    for (const stored_value& v : values_) {
      for (const object_ref& o : v.references) visit(*o);
    }
    for (const auto& [hold, item] : leases_) {
      for (const object_ref& o : item.front().references) visit(*o);
    }
  }
  void let_go() override {
    values_.clear();
    leases_.clear();
  }

 private:
  bool full() const noexcept { return capacity_ != 0 && values_.size() >= capacity_; }
  void require_open() const {
    if (closed_) throw failure(outcome::closed, "the queue is closed");
  }
  void put(call& c, bool waits);
  void get(call& c, std::uint64_t most, bool waits, bool leased = false);
  void give(const parked_get& to);
  item_list end_lease(session& who, std::uint64_t id);
  void end_leases(session& who);
  /// Nothing will come any more.
  bool drained() const noexcept { return closed_ && values_.empty() && leases_.empty(); }
  void push(item_list one) noexcept {
    values_.splice(values_.end(), one);
    ++unfinished_;
  }
  /// Lets those go on that can.
  void match();
  void close();
  void task_done();

  std::uint64_t capacity_;  // 0: none
  item_list values_;
  std::map<std::pair<session*, std::uint64_t>, item_list> leases_;  // of one each
  std::uint64_t unfinished_ = 0;
  bool closed_ = false;
  waiting_line<parked_put> puts_;
  waiting_line<parked_get> gets_;
  waiting_line<> joins_;
};

void queue_object::put(call& c, bool waits) {
  item_list value;
  value.push_back(c.value());
  require_open();
  if (full()) {
    if (!waits) {
      answering(c.from, c.id).flag(false);
      return;
    }
    c.from.park(c.id, *this);
    puts_.add({{&c.from, c.id}, std::move(value)});
    return;
  }
  push(std::move(value));
  answering(c.from, c.id).flag(true);
  match();
}

/// A flag, which is false at the end, then one, perhaps with the lease's name, or with `most` some.
void queue_object::give(const parked_get& to) {
  answering reply(*to.who, to.id);
  reply.flag(!values_.empty());
  if (values_.empty()) return;
  if (to.leased) {
    involve(*to.who);
    item_list& on_lease = leases_[{to.who, to.id}];
    on_lease.splice(on_lease.begin(), values_, values_.begin());
    reply.count(to.id).value(on_lease.front());
    return;
  }
  std::uint64_t count = 1;
  if (to.most != 0) {
    count = std::min<std::uint64_t>(to.most, values_.size());
    reply.count(count);
  }
  for (; count > 0; --count) {
    reply.value(values_.front());
    values_.pop_front();
  }
}

void queue_object::get(call& c, std::uint64_t most, bool waits, bool leased) {
  const parked_get caller{{&c.from, c.id}, most, leased};
  if (values_.empty() && !drained() && waits) {
    c.from.park(c.id, *this);
    gets_.add(caller);
    return;
  }
  give(caller);
  match();
}

void queue_object::match() {
  while (!gets_.empty() && (!values_.empty() || drained())) {
    const parked_get next = gets_.take_first();
    try {
      give(next);
    } catch (const std::bad_alloc&) {
      next.who->give_up();
    }
  }
  while (!full() && !puts_.empty()) {
    parked_put next = puts_.take_first();
    push(std::move(next.value));
    answering(*next.who, next.id).flag(true);
    if (!gets_.empty()) return match();
  }
}

void queue_object::close() {
  closed_ = true;
  for (const parked_put& p : puts_.take_all()) answer_failure(p, outcome::closed, "the queue is closed");
  match();
}

item_list queue_object::end_lease(session& who, std::uint64_t id) {
  const auto found = leases_.find({&who, id});
  if (found == leases_.end()) throw std::logic_error("the item is not on lease");
  item_list item = std::move(found->second);
  leases_.erase(found);
  return item;
}

/// Back to the front, in the order in which they were taken.
void queue_object::end_leases(session& who) {
  const auto begin = leases_.lower_bound({&who, 0});
  auto end = begin;
  item_list back;
  for (; end != leases_.end() && end->first.first == &who; ++end) back.splice(back.end(), end->second);
  leases_.erase(begin, end);
  values_.splice(values_.begin(), back);
  match();
}

void queue_object::task_done() {
  if (unfinished_ == 0) throw std::logic_error("task_done was called more often than there were items");
  if (--unfinished_ > 0) return;
  for (const parked_call& p : joins_.take_all()) answering(*p.who, p.id);
}

void queue_object::handle(call& c) {
  switch (static_cast<queue_method>(c.method)) {
    case queue_method::put:
      return put(c, true);
    case queue_method::try_put:
      return put(c, false);
    case queue_method::get:
      return get(c, 0, true);
    case queue_method::get_leased:
      if (c.id == 0) throw failure(outcome::refused, "brood: a lease without an answer");
      return get(c, 0, true, true);
    case queue_method::settle:
      end_lease(c.from, c.count());
      task_done();
      answering(c.from, c.id);
      return match();
    case queue_method::give_back:
      values_.splice(values_.begin(), end_lease(c.from, c.count()));
      answering(c.from, c.id);
      return match();
    case queue_method::try_get:
      if (drained()) require_open();
      return get(c, 0, false);
    case queue_method::get_many: {
      const std::uint64_t most = c.count();
      if (most == 0) throw std::invalid_argument("get_many of nothing");
      return get(c, most, true);
    }
    case queue_method::put_back:
      values_.push_front(c.value());
      answering(c.from, c.id);
      return match();
    case queue_method::size:
      answering(c.from, c.id).count(values_.size());
      return;
    case queue_method::capacity:
      answering(c.from, c.id).count(capacity_);
      return;
    case queue_method::close:
      close();
      answering(c.from, c.id);
      return;
    case queue_method::task_done:
      task_done();
      answering(c.from, c.id);
      return;
    case queue_method::join:
      if (unfinished_ == 0) {
        answering(c.from, c.id);
        return;
      }
      c.from.park(c.id, *this);
      joins_.add({&c.from, c.id});
      return;
  }
  refuse_method(what());
}

}  // namespace

object* make_queue(space& where, std::uint64_t type, call& c) {
  return new queue_object(where, type, c.count());
}

}  // namespace brood::remote
