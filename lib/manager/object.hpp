// What a manager's server holds: objects, counted references to them, and values that hold such references.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "brood/manager/detail/protocol.hpp"

namespace brood::remote {

class object;
class session;
class space;
struct call;

/// A counted reference within the server: of a session's, a value's, a name's.
class object_ref {
 public:
  object_ref() = default;
  explicit object_ref(object* o) noexcept;
  object_ref(const object_ref& other) noexcept : object_ref(other.object_) {}
  object_ref(object_ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  object_ref& operator=(object_ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~object_ref();

  object* get() const noexcept { return object_; }
  object* operator->() const noexcept { return object_; }
  object& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  object* object_ = nullptr;
};

/// A value of the user's as it came, never looked into, and the objects whose handles it holds.
struct stored_value {
  std::string data;
  std::vector<object_ref> references;

  friend bool operator==(const stored_value& a, const stored_value& b) noexcept { return a.data == b.data; }
};

/// Reads a value of a request. Throws `failure`, outcome `gone`, if it refers to an object that is.
stored_value read_stored(space& where, detail::byte_reader& in);

/// Base of all that can be called. Lifetime: ends when nothing refers to it any more, but never inside a call.
class object {
 public:
  object(space& where, kind what, std::uint64_t type);
  virtual ~object();
  object(const object&) = delete;
  object& operator=(const object&) = delete;

  /// Answers, parks the call, or throws what the client is to get.
  virtual void handle(call& c) = 0;
  /// Drops a parked call and answers it; false if it is not parked here (any more).
  virtual bool cancel(session&, std::uint64_t) { return false; }
  /// The session has ended: drops its parked calls and what it holds.
  virtual void forget(session&) {}
  /// Calls `visit` for every reference to another object that this one holds.
  virtual void each_reference(const std::function<void(object&)>&) const {}

  number id() const noexcept { return id_; }
  kind what() const noexcept { return kind_; }
  std::uint64_t type() const noexcept { return type_; }
  space& where() const noexcept { return space_; }
  /// From now on `forget` is called when the session ends.
  void involve(session& who);

 protected:
  /// Clears whatever refers to other objects: it is part of a cycle that nobody refers to.
  virtual void let_go() {}

 private:
  friend class object_ref;
  friend class session;
  friend class space;

  space& space_;
  const kind kind_;
  const std::uint64_t type_;
  number id_ = 0;
  std::size_t references_ = 0;
  std::size_t held_by_sessions_ = 0;  // of these; also by names, loans and running calls
  bool doomed_ = false;               // in the list of those that nothing refers to
  object* next_doomed_ = nullptr;
  std::unordered_set<session*> involved_;
};

/// How many references values hold: an object that has none cannot be part of a cycle.
class reference_count {
 public:
  void add(const stored_value& v) noexcept { count_ += v.references.size(); }
  void remove(const stored_value& v) noexcept { count_ -= v.references.size(); }
  void clear() noexcept { count_ = 0; }
  bool none() const noexcept { return count_ == 0; }

 private:
  std::size_t count_ = 0;
};

}  // namespace brood::remote
