// session: what the server knows of one client: the references it holds, the calls it waits for, its answers. Bytes in,
// bytes out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "manager/object.hpp"
#include "manager/space.hpp"

namespace brood::remote {

/// One call, while it is handled.
struct call {
  session& from;
  std::uint64_t id;  // 0: no answer is wanted
  std::uint64_t method;
  detail::byte_reader& in;

  /// Throws if it refers to an object that is gone.
  stored_value value();
  std::vector<stored_value> values();
  std::string key() { return std::move(value().data); }
  std::uint64_t count() { return in.read_number(); }
  std::int64_t index() {
    const std::uint64_t coded = in.read_number();
    return static_cast<std::int64_t>(coded >> 1) ^ -static_cast<std::int64_t>(coded & 1);
  }
  bool flag() { return in.read_flag("flag of a request"); }
  std::uint64_t fixed() {
    std::uint64_t result = 0;
    in.read(&result, sizeof result);
    return result;
  }
  /// So many of something that takes a byte at least.
  std::size_t size();
  std::string text();
};

/// Writes one answer for its lifetime, in which no other is written to the same client. It is a value unless
/// it says otherwise. Without memory for it the client's connection ends: what it holds is others' then, as if it had died.
class answering {
 public:
  answering(session& to, std::uint64_t id, outcome how = outcome::value) noexcept;
  /// The present exception.
  static void failed(session& to, std::uint64_t id) noexcept;
  ~answering();
  answering(const answering&) = delete;
  answering& operator=(const answering&) = delete;

  answering& count(std::uint64_t n) noexcept;
  answering& flag(bool yes) noexcept;
  answering& text(std::string_view t) noexcept;
  /// The client gets a reference to each object in it.
  answering& value(const stored_value& v) noexcept;
  answering& optional(const stored_value* v) noexcept;
  answering& object(remote::object& o) noexcept;

 private:
  template <class Write>
  answering& put(Write write) noexcept;

  session& to_;
  std::uint64_t id_;
  std::size_t start_;
  int exceptions_;
};

class session {
 public:
  explicit session(space& where);
  /// Everything the client held goes.
  ~session();
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  /// Throws `decode_error` for what is no request: then the client is to be dropped.
  void handle(std::span<const std::byte> frame);
  /// The first thing to send.
  void greet();

  /// Where answers go: whole frames. Whoever sends them clears it.
  bytes& out() noexcept { return *out_; }
  void send_to(bytes& elsewhere) noexcept { out_ = &elsewhere; }
  /// Called for each answer.
  std::function<void()> on_output = [] {};

  /// A call waits from now on, until it is answered. Throws if too many do.
  void park(std::uint64_t id, object& where);
  void unpark(std::uint64_t id) noexcept { parked_.erase(id); }
  std::size_t parked() const noexcept { return parked_.size(); }

  void grant(object& o);
  /// For want of memory: the client waits for something that it will not be told.
  bool cannot_be_answered() const noexcept { return cannot_be_answered_; }
  void give_up() noexcept {
    cannot_be_answered_ = true;
    on_output();
  }
  space& where() const noexcept { return space_; }

 private:
  friend class object;
  friend class answering;

  struct hold {
    object_ref what;
    std::uint64_t grants = 0;
  };

  void join(object& o) { involved_.insert(&o); }
  void leave(object& o) noexcept { involved_.erase(&o); }
  void carry_out(std::uint64_t id, operation what, detail::byte_reader& in);
  void create(std::uint64_t id, detail::byte_reader& in);
  void attach(number id, std::uint64_t type);
  void release(number id, std::uint64_t grants) noexcept;
  void drop(hold& h) noexcept;

  space& space_;
  bytes own_out_;
  bool answering_ = false;  // for an assertion
  bool cannot_be_answered_ = false;
  std::uint64_t last_answered_ = 0;
  bytes* out_ = &own_out_;
  std::unordered_map<number, hold> holds_;
  std::unordered_map<std::uint64_t, object_ref>
      parked_;  // which keeps the object, whatever else the client holds
  std::unordered_set<object*> involved_;
  std::unordered_set<number> mistyped_;  // what the client takes for something else
};

}  // namespace brood::remote
