// list: values in order; indices below zero count from the end, as Python's.
#include <algorithm>
#include <deque>
#include <stdexcept>

#include "manager/make_object.hpp"

namespace brood::remote {
namespace {

class list_object final : public object {
 public:
  using object::object;

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
  std::vector<stored_value> read_values(call& c) {
    std::vector<stored_value> result;
    const std::size_t count = c.size();
    for (std::size_t i = 0; i < count; ++i) result.push_back(c.value());
    return result;
  }
  void extend(std::vector<stored_value> values) {
    for (stored_value& v : values) insert(values_.end(), std::move(v));
  }
  void answer(call& c, place begin, place end) const {
    answering reply(c.from, c.id);
    reply.count(static_cast<std::uint64_t>(end - begin));
    for (; begin != end; ++begin) reply.value(*begin);
  }

  std::deque<stored_value> values_;
  reference_count nested_;
};

void list_object::handle(call& c) {
  switch (static_cast<list_method>(c.method)) {
    case list_method::at: {
      const place found = at(c.index());
      answering(c.from, c.id).value(*found);
      return;
    }
    case list_method::set: {
      const place found = at(c.index());
      stored_value v = c.value();
      nested_.remove(*found);
      nested_.add(v);
      *found = std::move(v);
      break;
    }
    case list_method::append:
      insert(values_.end(), c.value());
      break;
    case list_method::extend:
      extend(read_values(c));
      break;
    case list_method::assign: {
      auto values = read_values(c);
      clear();
      extend(std::move(values));
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
    case list_method::pop: {
      const stored_value taken = take(at(c.index()));
      answering(c.from, c.id).value(taken);
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
    case list_method::clear:
      clear();
      break;
    case list_method::index: {
      const stored_value wanted = c.value();
      const auto found = std::find(values_.begin(), values_.end(), wanted);
      answering(c.from, c.id)
          .count(found == values_.end() ? 0 : static_cast<std::uint64_t>(found - values_.begin()) + 1);
      return;
    }
    case list_method::reverse:
      std::reverse(values_.begin(), values_.end());
      break;
    default:
      refuse_method(what());
  }
  answering(c.from, c.id);
}

}  // namespace

object* make_list(space& where, std::uint64_t type, call&) {
  return new list_object(where, kind::list, type);
}

}  // namespace brood::remote
