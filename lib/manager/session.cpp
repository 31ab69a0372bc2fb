#include "manager/session.hpp"

#include <cassert>
#include <exception>
#include <utility>

#include "brood/manager/error.hpp"
#include "manager/frame_builder.hpp"
#include "manager/make_object.hpp"
#include "manager/outcome_error.hpp"

namespace brood::remote {

// --- one call ---

stored_value read_stored(space& where, detail::byte_reader& in) {
  stored_value result;
  const std::uint64_t header = in.read_number();
  if ((header & 1) != 0) {
    const std::uint64_t references = in.read_number();
    if (references > in.remaining()) throw decode_error("a value of more objects than bytes");
    result.references.reserve(static_cast<std::size_t>(references));
    for (std::uint64_t i = 0; i < references; ++i) {
      result.references.emplace_back(&where.find(in.read_number()));
    }
  }
  const std::uint64_t length = header >> 1;
  if (length > in.remaining()) throw decode_error("a value of more bytes than there are");
  const std::byte* data = in.take(static_cast<std::size_t>(length));
  result.data.assign(reinterpret_cast<const char*>(data), static_cast<std::size_t>(length));
  return result;
}

stored_value call::value() { return read_stored(from.where(), in); }

std::size_t call::size() {
  const std::uint64_t announced = in.read_number();
  if (announced > in.remaining()) throw decode_error("a request of more elements than bytes");
  return static_cast<std::size_t>(announced);
}

std::vector<stored_value> call::values() {
  std::vector<stored_value> result;
  const std::size_t count = size();
  for (std::size_t i = 0; i < count; ++i) result.push_back(value());
  return result;
}

std::string call::text() { return read_text(in); }

// --- answers ---

template <class Write>
answering& answering::put(Write write) noexcept {
  try {
    if (!to_.cannot_be_answered_) write(to_.out());
  } catch (...) {  // no memory
    to_.cannot_be_answered_ = true;
  }
  return *this;
}

answering::answering(session& to, std::uint64_t id, outcome how) noexcept
    : to_(to), id_(id), start_(to.out().size()), exceptions_(std::uncaught_exceptions()) {
  assert(!to.answering_);
  to.answering_ = true;
  put([&](bytes& out) {
    out.resize(start_ + detail::frame_header_size);
    put_count(out, id);
    out.push_back(static_cast<std::byte>(how));
  });
}

answering::~answering() {
  to_.answering_ = false;
  bytes& out = to_.out();
  if (id_ == 0) {
    out.resize(start_);
    return;
  }
  if (std::uncaught_exceptions() > exceptions_) to_.cannot_be_answered_ = true;
  if (to_.cannot_be_answered_) {
    out.resize(start_);
  } else {
    finish_frame(out, start_);
  }
  to_.last_answered_ = id_;
  to_.unpark(id_);
  to_.on_output();
}

void answering::failed(session& to, std::uint64_t id) noexcept {
  if (id == 0) return;
  answering reply(to, id);
  reply.put([](bytes& out) {
    out.pop_back();
    put_current_error(out);
  });
}

answering& answering::count(std::uint64_t n) noexcept {
  return put([&](bytes& out) { put_count(out, n); });
}
answering& answering::flag(bool yes) noexcept {
  return put([&](bytes& out) { out.push_back(static_cast<std::byte>(yes ? 1 : 0)); });
}
answering& answering::text(std::string_view t) noexcept {
  return put([&](bytes& out) { put_text(out, t); });
}

answering& answering::value(const stored_value& v) noexcept {
  count(static_cast<std::uint64_t>(v.data.size()) << 1 | (v.references.empty() ? 0 : 1));
  if (!v.references.empty()) {
    count(v.references.size());
    for (const object_ref& o : v.references) object(*o);
  }
  return put([&](bytes& out) { put_bytes(out, std::as_bytes(std::span(v.data))); });
}

answering& answering::optional(const stored_value* v) noexcept {
  flag(v != nullptr);
  return v != nullptr ? value(*v) : *this;
}

answering& answering::object(remote::object& o) noexcept {
  return put([&](bytes& out) {
    put_count(out, o.id());
    if (id_ != 0) to_.grant(o);
  });
}

// --- session ---

session::session(space& where) : space_(where) {}

session::~session() {
  // Those that wait or hold something first: what they release goes to others.
  for (object* o : std::exchange(involved_, {})) {
    o->involved_.erase(this);
    o->forget(*this);
  }
  for (auto& [id, h] : holds_) drop(h);
  holds_.clear();
  parked_.clear();
  space_.sweep();
}

void session::greet() {
  const std::size_t start = out().size();
  out().resize(start + detail::frame_header_size);
  out().push_back(static_cast<std::byte>(protocol_version));
  put_fixed(out(), space_.instance());
  put_count(out(), space_.bounds().max_message);
  finish_frame(out(), start);
}

void session::park(std::uint64_t id, object& where) {
  if (id == 0) throw failure(outcome::refused, "brood: a call that waits without an answer");
  if (parked_.size() >= space_.bounds().max_outstanding) {
    throw failure(outcome::refused, "brood: too many calls of this client wait in the manager");
  }
  if (!parked_.emplace(id, object_ref(&where)).second) throw decode_error("two calls with one id");
  where.involve(*this);
}

void session::handle(std::span<const std::byte> frame) {
  detail::byte_reader in(frame);
  const std::uint64_t id = in.read_number();
  const auto what = static_cast<operation>(in.read_byte());
  if (what < operation::call || what > last_operation) throw decode_error("an unknown request");
  if (id != 0 && parked_.contains(id)) throw decode_error("two calls with one id");
  last_answered_ = 0;
  try {
    carry_out(id, what, in);
  } catch (...) {  // after the answer: what was for others had no memory
    if (id != last_answered_) answering::failed(*this, id);
  }
  space_.sweep();
}

void session::carry_out(std::uint64_t id, operation what, detail::byte_reader& in) {
  switch (what) {
    case operation::call: {
      object& target = space_.find(in.read_number());
      if (mistyped_.contains(target.id()))
        throw failure(outcome::refused, "brood: the object is of another type");
      call c{*this, id, in.read_number(), in};
      const object_ref kept(&target);
      return target.handle(c);
    }
    case operation::create:
      return create(id, in);
    case operation::attach: {
      const number object = in.read_number();
      std::uint64_t type = 0;
      in.read(&type, sizeof type);
      return attach(object, type);
    }
    case operation::release: {
      const number object = in.read_number();
      return release(object, in.read_number());
    }
    case operation::lend:
      return space_.lend(space_.find(in.read_number()));
    case operation::cancel: {
      const std::uint64_t which = in.read_number();
      const auto found = parked_.find(which);
      if (found != parked_.end() && found->second->cancel(*this, which)) {
        answering(*this, which, outcome::cancelled).text("cancelled");
      }
      return;
    }
    case operation::shutdown:
      space_.on_shutdown();
      answering(*this, id);
      return;
    case operation::objects:
      answering(*this, id).count(space_.size());
      return;
  }
}

void session::create(std::uint64_t id, detail::byte_reader& in) {
  const auto what = static_cast<kind>(in.read_byte());
  call c{*this, id, 0, in};
  const std::uint64_t type = c.fixed();
  const std::string name = c.text();
  const auto make = [&] { return make_object(space_, what, type, c); };
  object& made = name.empty() ? *make() : space_.named(name, what, type, make);
  const object_ref kept(&made);
  answering(*this, id).object(made);
}

void session::grant(object& o) {
  hold& h = holds_[o.id()];
  if (!h.what) {
    h.what = object_ref(&o);
    ++o.held_by_sessions_;
  }
  ++h.grants;
}

void session::attach(number id, std::uint64_t type) {
  object& o = space_.find(id);
  grant(o);
  if (type != 0 && type != o.type()) mistyped_.insert(id);
}

void session::release(number id, std::uint64_t grants) noexcept {
  const auto found = holds_.find(id);
  if (found == holds_.end()) return;
  hold& h = found->second;
  h.grants -= std::min(h.grants, grants);
  if (h.grants > 0) return;
  drop(h);
  holds_.erase(found);
}

void session::drop(hold& h) noexcept {
  object& o = *h.what;
  if (--o.held_by_sessions_ == 0) space_.suspect(o);
}

}  // namespace brood::remote
