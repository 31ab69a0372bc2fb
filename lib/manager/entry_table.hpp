// What dicts and sets are made of: entries in the order in which their keys came, found by their keys.
#pragma once

#include <list>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "manager/session.hpp"

namespace brood::remote {

class entry_table {
 public:
  struct entry {
    stored_value key;
    stored_value value;
  };
  using place = std::list<entry>::iterator;

  place begin() noexcept { return entries_.begin(); }
  place end() noexcept { return entries_.end(); }
  std::size_t size() const noexcept { return entries_.size(); }
  bool empty() const noexcept { return entries_.empty(); }

  place find(const std::string& key) {
    const auto found = index_.find(std::string_view(key));
    return found == index_.end() ? end() : found->second;
  }
  place require(const std::string& key) {
    const place found = find(key);
    if (found == end()) throw std::out_of_range("no such key");
    return found;
  }

  /// False, and nothing is changed, if the key is there.
  bool add(stored_value key, stored_value value) {
    if (find(key.data) != end()) return false;
    ++version_;
    nested_.add(key);
    nested_.add(value);
    entries_.push_back({std::move(key), std::move(value)});
    const place at = std::prev(end());
    index_.emplace(std::string_view(at->key.data), at);
    return true;
  }
  void put(stored_value key, stored_value value) {
    const place found = find(key.data);
    if (found == end()) {
      add(std::move(key), std::move(value));
      return;
    }
    nested_.remove(found->value);
    nested_.add(value);
    found->value = std::move(value);
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
    if (!empty()) ++version_;
    index_.clear();
    nested_.clear();
    entries_.clear();
  }
  void each_reference(const std::function<void(object&)>& visit) const {
    if (nested_.none()) return;
    for (const entry& e : entries_) {
      for (const object_ref& o : e.key.references) visit(*o);
      for (const object_ref& o : e.value.references) visit(*o);
    }
  }

  // Calls that dicts and sets have in common.
  void erase(call& c) {
    const place found = find(c.key());
    const bool present = found != end();
    if (present) take(found);
    answering(c.from, c.id).flag(present);
  }
  void contains(call& c) {
    const bool present = find(c.key()) != end();
    answering(c.from, c.id).flag(present);
  }
  /// `write(reply, entry)` for each.
  template <class Write>
  void answer_all(call& c, Write write) const {
    answering reply(c.from, c.id);
    reply.count(entries_.size());
    for (const entry& e : entries_) write(reply, e);
  }
  /// The same for some behind a key, or from the beginning on where the caller knows no version of the keys yet.
  template <class Write>
  void walk(call& c, Write write) {
    const std::uint64_t version = c.count();
    const std::uint64_t most = c.count();
    place begin = entries_.begin();
    if (version != 0) {
      if (version != version_) throw std::runtime_error("the keys have changed since the walk began");
      begin = std::next(require(c.key()));
    }
    std::uint64_t count = 0;
    for (place each = begin; each != end() && count < most; ++each) ++count;
    answering reply(c.from, c.id);
    reply.count(version_).count(count);
    for (; count > 0; --count, ++begin) write(reply, *begin);
  }

 private:
  std::list<entry> entries_;
  std::unordered_map<std::string_view, place> index_;  // by the keys in the entries
  reference_count nested_;
  std::uint64_t version_ = 1;  // of the keys
};

}  // namespace brood::remote
