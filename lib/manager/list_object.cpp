// list: values in order; indices below zero count from the end, as Python's.
#include <algorithm>
#include <deque>
#include <stdexcept>

#include "manager/apply.hpp"
#include "manager/make_object.hpp"

namespace brood::remote {
namespace {

class list_object final : public object {
 public:
  list_object(space& where, std::uint64_t type, std::vector<stored_value> first)
      : object(where, kind::list, type) {
    extend(std::move(first));
  }

  void handle(call& c) override;
  void each_reference(const std::function<void(object&)>& visit) const override {
    if (nested_.none()) return;
    for (const stored_value& v : values_) {
      for (const object_ref& o : v.references) visit(*o);
    }
  }
  void let_go() override { clear(); }

 private:
  using place = std::deque<stored_value>::iterator;

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(values_.size()); }
  place at(std::int64_t index) {
    if (index < 0) index += size();
    if (index < 0 || index >= size()) throw std::out_of_range("no such index");
    return values_.begin() + index;
  }
  /// Between two elements: never out of range.
  place between(std::int64_t index) {
    if (index < 0) index = std::max<std::int64_t>(index + size(), 0);
    return values_.begin() + std::min(index, size());
  }
  void insert(place before, stored_value v) {
    nested_.add(v);
    values_.insert(before, std::move(v));
  }
  stored_value take(place which) {
    nested_.remove(*which);
    stored_value taken = std::move(*which);
    values_.erase(which);
    return taken;
  }
  void clear() {
    nested_.clear();
    values_.clear();
  }
  void put(place which, stored_value v) {
    nested_.remove(*which);
    nested_.add(v);
    *which = std::move(v);
  }
  void extend(std::vector<stored_value> values) {
    for (stored_value& v : values) insert(values_.end(), std::move(v));
  }
  void assign(std::vector<stored_value> values) {
    clear();
    extend(std::move(values));
  }
  void replace(std::int64_t from, std::int64_t to, std::vector<stored_value> values) {
    const place begin = between(from);
    const place end = std::max(begin, between(to));
    for (place each = begin; each != end; ++each) nested_.remove(*each);
    for (const stored_value& v : values) nested_.add(v);
    values_.insert(values_.erase(begin, end), std::move_iterator(values.begin()),
                   std::move_iterator(values.end()));
  }
  void answer(call& c, place begin, place end) const {
    answering reply(c.from, c.id);
    reply.count(static_cast<std::uint64_t>(end - begin));
    for (; begin != end; ++begin) reply.value(*begin);
  }

  void change(call& c);

  std::deque<stored_value> values_;
  reference_count nested_;
  std::uint64_t version_ = 0;  // of calls that may have changed something
};

void list_object::handle(call& c) {
  switch (static_cast<list_method>(c.method)) {
    case list_method::at: {
      const place found = at(c.index());
      answering(c.from, c.id).value(*found);
      return;
    }
    case list_method::size:
      answering(c.from, c.id).count(values_.size());
      return;
    case list_method::items:
      return answer(c, values_.begin(), values_.end());
    case list_method::slice: {
      const place begin = between(c.index());
      const place end = between(c.index());
      return answer(c, begin, std::max(begin, end));
    }
    case list_method::versioned_items: {
      answering reply(c.from, c.id);
      reply.count(version_);
      reply.count(values_.size());
      for (const stored_value& v : values_) reply.value(v);
      return;
    }
    case list_method::index: {
      const auto found = std::find(values_.begin(), values_.end(), c.value());
      answering(c.from, c.id)
          .count(found == values_.end() ? 0 : static_cast<std::uint64_t>(found - values_.begin()) + 1);
      return;
    }
    case list_method::count: {
      const auto count = std::count(values_.begin(), values_.end(), c.value());
      answering(c.from, c.id).count(static_cast<std::uint64_t>(count));
      return;
    }
    default:
      return change(c);
  }
}

void list_object::change(call& c) {
  switch (static_cast<list_method>(c.method)) {
    case list_method::set: {
      const place found = at(c.index());
      put(found, c.value());
      break;
    }
    case list_method::append:
      insert(values_.end(), c.value());
      break;
    case list_method::extend:
      extend(c.values());
      break;
    case list_method::assign:
      assign(c.values());
      break;
    case list_method::assign_if: {
      const bool unchanged = c.count() == version_;
      if (unchanged) assign(c.values());
      version_ += unchanged ? 1 : 0;
      answering(c.from, c.id).flag(unchanged);
      return;
    }
    case list_method::replace: {
      const std::int64_t begin = c.index();
      const std::int64_t end = c.index();
      replace(begin, end, c.values());
      break;
    }
    case list_method::insert: {
      const std::int64_t index = c.index();
      stored_value v = c.value();
      insert(between(index), std::move(v));
      break;
    }
    case list_method::erase:
      take(at(c.index()));
      break;
    case list_method::remove: {
      const place found = std::find(values_.begin(), values_.end(), c.value());
      const bool present = found != values_.end();
      if (present) take(found);
      ++version_;
      answering(c.from, c.id).flag(present);
      return;
    }
    case list_method::pop: {
      const stored_value taken = take(at(c.index()));
      ++version_;
      answering(c.from, c.id).value(taken);
      return;
    }
    case list_method::apply: {
      const place found = at(c.index());
      const stored_value after = apply_function(c, &*found);
      put(found, after);
      ++version_;
      answering(c.from, c.id).value(after);
      return;
    }
    case list_method::clear:
      clear();
      break;
    case list_method::reverse:
      std::reverse(values_.begin(), values_.end());
      break;
    default:
      refuse_method(what());
  }
  ++version_;
  answering(c.from, c.id);
}

}  // namespace

object* make_list(space& where, std::uint64_t type, call& c) {
  return new list_object(where, type, c.values());
}

}  // namespace brood::remote
