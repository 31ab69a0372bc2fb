// set: values that are there once, in the order in which they came.
#include <list>
#include <stdexcept>
#include <string_view>

#include "manager/make_object.hpp"

namespace brood::remote {
namespace {

class set_object final : public object {
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
  bool add(stored_value v) {
    if (index_.contains(std::string_view(v.data))) return false;
    ++version_;
    nested_.add(v);
    values_.push_back(std::move(v));
    const auto at = std::prev(values_.end());
    index_.emplace(std::string_view(at->data), at);
    return true;
  }
  stored_value take(std::list<stored_value>::iterator at) {
    ++version_;
    index_.erase(std::string_view(at->data));
    nested_.remove(*at);
    stored_value taken = std::move(*at);
    values_.erase(at);
    return taken;
  }
  void clear() {
    if (!values_.empty()) ++version_;
    index_.clear();
    nested_.clear();
    values_.clear();
  }

  std::list<stored_value> values_;
  std::unordered_map<std::string_view, std::list<stored_value>::iterator> index_;
  void walk(call& c);

  reference_count nested_;
  std::uint64_t version_ = 1;
};

/// Those behind one; from the beginning on without a version.
void set_object::walk(call& c) {
  const std::uint64_t version = c.count();
  const std::uint64_t most = c.count();
  auto begin = values_.begin();
  if (version != 0) {
    if (version != version_) throw std::runtime_error("the set has changed since the walk began");
    const auto last = index_.find(std::string_view(c.key()));
    if (last == index_.end()) throw std::out_of_range("no such value");
    begin = std::next(last->second);
  }
  std::uint64_t count = 0;
  for (auto each = begin; each != values_.end() && count < most; ++each) ++count;
  answering reply(c.from, c.id);
  reply.count(version_).count(count);
  for (; count > 0; --count, ++begin) reply.value(*begin);
}

void set_object::handle(call& c) {
  switch (static_cast<set_method>(c.method)) {
    case set_method::add: {
      const bool added = add(c.value());
      answering(c.from, c.id).flag(added);
      return;
    }
    case set_method::update: {
      for (stored_value& v : c.values()) add(std::move(v));
      answering(c.from, c.id);
      return;
    }
    case set_method::erase: {
      const std::string value = c.key();
      const auto found = index_.find(std::string_view(value));
      const bool present = found != index_.end();
      if (present) take(found->second);
      answering(c.from, c.id).flag(present);
      return;
    }
    case set_method::contains: {
      const std::string value = c.key();
      answering(c.from, c.id).flag(index_.contains(std::string_view(value)));
      return;
    }
    case set_method::pop_any: {
      if (values_.empty()) throw std::out_of_range("the set is empty");
      const stored_value taken = take(values_.begin());
      answering(c.from, c.id).value(taken);
      return;
    }
    case set_method::size:
      answering(c.from, c.id).count(values_.size());
      return;
    case set_method::items: {
      answering reply(c.from, c.id);
      reply.count(values_.size());
      for (const stored_value& v : values_) reply.value(v);
      return;
    }
    case set_method::walk:
      return walk(c);
    case set_method::clear:
      clear();
      answering(c.from, c.id);
      return;
  }
  refuse_method(what());
}

}  // namespace

object* make_set(space& where, std::uint64_t type, call&) { return new set_object(where, kind::set, type); }

}  // namespace brood::remote
