#include "brood/manager/detail/registry.hpp"

#include <unordered_map>

#include "brood/manager/detail/class_entry.hpp"
#include "brood/manager/error.hpp"
#include "manager/outcome_error.hpp"

namespace brood::remote {
namespace {

// All registrations of this image, entered by static constructors in whatever order; hence no constructor of its own.
constinit registration* first = nullptr;
constinit std::size_t registered = 0;

struct found {
  const registration* entry = nullptr;
  bool ambiguous = false;
};

bool same_code(const registration& a, const registration& b) noexcept {
  return a.owner == b.owner && a.make == b.make && a.call == b.call && a.start == b.start &&
         a.update == b.update;
}

/// By name. Built at the first call, and again when a library has been loaded since.
const std::unordered_map<std::uint64_t, found>& table() {
  static std::unordered_map<std::uint64_t, found> built;
  static std::size_t of = 0;
  if (of == registered) return built;
  built.clear();
  for (const registration* r = first; r != nullptr; r = r->next) {
    found& place = built[r->key ^ static_cast<std::uint64_t>(r->kind)];
    if (place.entry != nullptr && !same_code(*place.entry, *r)) place.ambiguous = true;
    place.entry = r;
  }
  of = registered;
  return built;
}

}  // namespace

registration::registration(what it_is, std::uint64_t name, const void* its_class) noexcept
    : kind(it_is), key(name), owner(its_class), next(std::exchange(first, this)) {
  ++registered;
}

const registration* registration::find(what kind, std::uint64_t key) {
  const auto place = table().find(key ^ static_cast<std::uint64_t>(kind));
  // A client may have made up a key that meets another kind's.
  if (place == table().end() || place->second.entry->kind != kind) return nullptr;
  if (place->second.ambiguous) {
    throw failure(
        outcome::refused,
        "brood: two classes, methods or functions of this program have that name (they are in unnamed "
        "namespaces of two files); give them names by brood::registered_class and the like");
  }
  return place->second.entry;
}

void put_constructor(request& what, const named_constructor* newest, std::span<const given_argument> given) {
  for (const bool exactly : {true, false}) {
    for (const named_constructor* c = newest; c != nullptr; c = c->next) {
      if (c->put(c->name, what, given, exactly)) return;
    }
  }
  throw call_refused(
      "brood: none of the constructors that brood::registered_class names for this class takes these "
      "arguments");
}

std::span<const std::byte> argument_reader::take() {
  const std::uint64_t header = in_.read_number();
  if ((header & 1) != 0) {
    const std::uint64_t count = in_.read_number();
    if (count > in_.remaining()) throw decode_error("a value of more objects than bytes");
    for (std::uint64_t i = 0; i < count; ++i) numbers_.push_back(in_.read_number());
  }
  const std::uint64_t size = header >> 1;
  if (size > in_.remaining()) throw decode_error("a value of more bytes than there are");
  return {in_.take(static_cast<std::size_t>(size)), static_cast<std::size_t>(size)};
}

}  // namespace brood::remote
