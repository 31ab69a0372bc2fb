// dict: values by keys, in the order in which the keys came, as Python's.
#include <list>
#include <stdexcept>
#include <string_view>

#include "manager/apply.hpp"
#include "manager/arithmetic.hpp"
#include "manager/make_object.hpp"

namespace brood::remote {
namespace {

class dict_object final : public object {
 public:
  using object::object;

  void handle(call& c) override;
  void each_reference(const std::function<void(object&)>& visit) const override {
    if (nested_.none()) return;
    for (const entry& e : entries_) {
      for (const object_ref& o : e.key.references) visit(*o);
      for (const object_ref& o : e.value.references) visit(*o);
    }
  }
  void let_go() override { clear(); }

 private:
  struct entry {
    stored_value key;
    stored_value value;
  };
  using place = std::list<entry>::iterator;

  place find(const std::string& key) {
    const auto found = index_.find(std::string_view(key));
    return found == index_.end() ? entries_.end() : found->second;
  }
  place require(const std::string& key) {
    const place found = find(key);
    if (found == entries_.end()) throw std::out_of_range("no such key");
    return found;
  }
  stored_value assign(place at, stored_value value) {
    nested_.remove(at->value);
    nested_.add(value);
    return std::exchange(at->value, std::move(value));
  }
  void put(stored_value key, stored_value value) {
    const place found = find(key.data);
    if (found != entries_.end()) {
      assign(found, std::move(value));
      return;
    }
    nested_.add(key);
    nested_.add(value);
    entries_.push_back({std::move(key), std::move(value)});
    ++version_;
    const place at = std::prev(entries_.end());
    index_.emplace(std::string_view(at->key.data), at);
  }
  entry take(place at) {
    ++version_;
    index_.erase(std::string_view(at->key.data));
    nested_.remove(at->key);
    nested_.remove(at->value);
    entry taken = std::move(*at);
    entries_.erase(at);
    return taken;
  }
  void clear() {
    if (!entries_.empty()) ++version_;
    index_.clear();
    nested_.clear();
    entries_.clear();
  }
  void walk(call& c);
  void update(call& c);
  void compare_exchange(call& c);
  void fetch_add(call& c);
  void apply(call& c);

  std::list<entry> entries_;
  std::unordered_map<std::string_view, place> index_;  // by the keys in the entries
  reference_count nested_;
  std::uint64_t version_ = 1;  // of the keys
};

/// The entries behind a key; from the beginning on without a version.
void dict_object::walk(call& c) {
  const std::uint64_t version = c.count();
  const std::uint64_t most = c.count();
  place begin = entries_.begin();
  if (version != 0) {
    if (version != version_)
      throw std::runtime_error("the keys of the dict have changed since the walk began");
    begin = std::next(require(c.key()));
  }
  std::uint64_t count = 0;
  for (place each = begin; each != entries_.end() && count < most; ++each) ++count;
  answering reply(c.from, c.id);
  reply.count(version_).count(count);
  for (; count > 0; --count, ++begin) reply.value(begin->key).value(begin->value);
}

void dict_object::update(call& c) {
  std::vector<entry> read;  // all or nothing
  const std::size_t size = c.size();
  for (std::size_t i = 0; i < size; ++i) {
    stored_value key = c.value();
    stored_value value = c.value();
    read.push_back({std::move(key), std::move(value)});
  }
  for (entry& e : read) put(std::move(e.key), std::move(e.value));
  answering(c.from, c.id);
}

void dict_object::compare_exchange(call& c) {
  stored_value key = c.value();
  const bool expects_one = c.flag();
  const std::string expected = expects_one ? c.key() : std::string();
  const bool wants_one = c.flag();
  stored_value desired = wants_one ? c.value() : stored_value();
  const place found = find(key.data);
  const bool present = found != entries_.end();
  const bool equal = present == expects_one && (!present || found->value.data == expected);
  if (equal && wants_one) put(std::move(key), std::move(desired));
  if (equal && !wants_one && present) take(found);
  answering(c.from, c.id).flag(equal);
}

void dict_object::fetch_add(call& c) {
  stored_value key = c.value();
  const auto type = static_cast<arithmetic>(c.in.read_byte());
  const std::string added = c.key();
  const place found = find(key.data);
  stored_value before;
  before.data = found == entries_.end() ? std::string(added.size(), '\0') : found->value.data;
  stored_value after;
  after.data = sum(type, before.data, added);
  put(std::move(key), std::move(after));
  answering(c.from, c.id).value(before);
}

void dict_object::apply(call& c) {
  stored_value key = c.value();
  const place found = find(key.data);
  stored_value after = apply_function(c, found == entries_.end() ? nullptr : &found->value);
  put(key, after);
  answering(c.from, c.id).value(after);
}

void dict_object::handle(call& c) {
  switch (static_cast<dict_method>(c.method)) {
    case dict_method::get: {
      const place found = find(c.key());
      answering(c.from, c.id).optional(found == entries_.end() ? nullptr : &found->value);
      return;
    }
    case dict_method::at: {
      const place found = require(c.key());
      answering(c.from, c.id).value(found->value);
      return;
    }
    case dict_method::set: {
      stored_value key = c.value();
      put(std::move(key), c.value());
      answering(c.from, c.id);
      return;
    }
    case dict_method::get_or_set: {
      stored_value key = c.value();
      stored_value value = c.value();
      place found = find(key.data);
      const std::string name = key.data;
      if (found == entries_.end()) put(std::move(key), std::move(value));
      answering(c.from, c.id).value(find(name)->value);
      return;
    }
    case dict_method::erase: {
      const place found = find(c.key());
      const bool present = found != entries_.end();
      if (present) take(found);
      answering(c.from, c.id).flag(present);
      return;
    }
    case dict_method::contains: {
      const bool present = find(c.key()) != entries_.end();
      answering(c.from, c.id).flag(present);
      return;
    }
    case dict_method::pop: {
      const entry taken = take(require(c.key()));
      answering(c.from, c.id).value(taken.value);
      return;
    }
    case dict_method::pop_any: {
      if (entries_.empty()) throw std::out_of_range("the dict is empty");
      const entry taken = take(std::prev(entries_.end()));
      answering(c.from, c.id).value(taken.key).value(taken.value);
      return;
    }
    case dict_method::size:
      answering(c.from, c.id).count(entries_.size());
      return;
    case dict_method::keys: {
      answering reply(c.from, c.id);
      reply.count(entries_.size());
      for (const entry& e : entries_) reply.value(e.key);
      return;
    }
    case dict_method::values: {
      answering reply(c.from, c.id);
      reply.count(entries_.size());
      for (const entry& e : entries_) reply.value(e.value);
      return;
    }
    case dict_method::items: {
      answering reply(c.from, c.id);
      reply.count(entries_.size());
      for (const entry& e : entries_) reply.value(e.key).value(e.value);
      return;
    }
    case dict_method::walk:
      return walk(c);
    case dict_method::update:
      return update(c);
    case dict_method::clear:
      clear();
      answering(c.from, c.id);
      return;
    case dict_method::compare_exchange:
      return compare_exchange(c);
    case dict_method::fetch_add:
      return fetch_add(c);
    case dict_method::apply:
      return apply(c);
  }
  refuse_method(what());
}

}  // namespace

object* make_dict(space& where, std::uint64_t type, call&) {
  return new dict_object(where, kind::dict, type);
}

}  // namespace brood::remote
