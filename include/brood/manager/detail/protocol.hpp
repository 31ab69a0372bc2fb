// The manager's protocol: what follows the handshake on the socket between a client and the server. Every
// message is a frame (channel/framing.hpp: 8 bytes of length) of at most `max_message` bytes; many go in one
// write.
//
//   server ── hello    version instance max_message               once, at the beginning
//   client ── request  id operation ...                           any number, without waiting for answers
//   server ── answer   id outcome ...                             one for each request whose id is not 0
//
//   request   call     object method arguments...                 id 0: no answer is wanted
//             create   kind type(8) name arguments...             name empty: a new object, else that of the
//             name attach   object type(8)                             this client holds the object from now
//             on release  object grants                              gives back so many of its references
//             lend     object                                     keep it for a while: a handle travels
//             elsewhere cancel   id                                         of a call that waits; it is
//             answered all the same shutdown objects                                             how many
//             there are
//   answer    value      result...
//             exception  type what process(text) pid trace
//             refused, gone, closed, broken, cancelled  text
//
// Numbers are LEB128, texts a number and their bytes. A value of the user's is
//   (size * 2 + has_references) [count object...] bytes
// and the server never looks into the bytes: they are equal where the encodings are. `object...` are the
// objects whose handles are in the bytes; the server counts them for whoever gets the value, at the moment it
// is written into the answer. So a client that releases an object while an answer with the same object is on
// its way loses nothing: it gives back only the grants that it has seen.
//
// Calls of one client on one object begin in the order in which they were sent. A call that waits (a queue's
// `get`) is parked, and answered when it can be; others go on.
//
// A number of an object is used once in the life of a server, which is known by its `instance`. What cannot
// be read as a request ends the connection; arguments that cannot be decoded are answered with an exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <typeinfo>

#include "brood/arena/codec.hpp"

namespace brood::remote {

inline constexpr std::uint8_t protocol_version = 2;

using number = std::uint64_t;  // of an object

enum class operation : std::uint8_t { call = 1, create, attach, release, lend, cancel, shutdown, objects };
inline constexpr operation last_operation = operation::objects;
enum class outcome : std::uint8_t { value = 1, exception, refused, gone, closed, broken, cancelled };
enum class kind : std::uint8_t {
  dict = 1,
  list,
  set,
  value,
  queue,
  lock,
  semaphore,
  event,
  condition,
  barrier,
  user
};

enum class dict_method : std::uint8_t {
  get = 1,
  at,
  set,
  erase,
  contains,
  pop,
  pop_any,
  size,
  keys,
  values,
  items,
  update,
  clear,
  compare_exchange,
  fetch_add,
  apply,
  get_or_set,
  walk
};
enum class list_method : std::uint8_t {
  at = 1,
  set,
  append,
  extend,
  insert,
  erase,
  pop,
  size,
  items,
  slice,
  clear,
  assign,
  index,
  reverse,
  remove,
  count,
  replace,
  apply,
  versioned_items,
  assign_if
};
enum class set_method : std::uint8_t { add = 1, update, erase, contains, pop_any, size, items, clear, walk };
enum class value_method : std::uint8_t { get = 1, set, exchange, compare_exchange, fetch_add, apply };
enum class queue_method : std::uint8_t {
  put = 1,
  try_put,
  get,
  try_get,
  get_many,
  put_back,
  size,
  capacity,
  close,
  task_done,
  join,
  get_leased,
  settle,
  give_back
};
enum class lock_method : std::uint8_t { acquire = 1, try_acquire, release, locked };
enum class semaphore_method : std::uint8_t { acquire = 1, try_acquire, give_back, release, value };
enum class event_method : std::uint8_t { wait = 1, set, clear, is_set };
enum class condition_method : std::uint8_t { wait = 1, notify, notify_all, release };
enum class barrier_method : std::uint8_t { arrive = 1, reset, abort, broken, waiting };

inline void put_count(bytes& out, std::uint64_t count) {
  for (; count >= 0x80; count >>= 7) out.push_back(static_cast<std::byte>(0x80 | (count & 0x7f)));
  out.push_back(static_cast<std::byte>(count));
}
inline void put_bytes(bytes& out, std::span<const std::byte> data) {
  out.insert(out.end(), data.begin(), data.end());
}
inline void put_text(bytes& out, std::string_view text) {
  put_count(out, text.size());
  put_bytes(out, std::as_bytes(std::span(text)));
}
inline void put_fixed(bytes& out, std::uint64_t value) {
  put_bytes(out, std::as_bytes(std::span(&value, 1)));
}

/// FNV-1a. Names only have to differ between the classes of one program; those that do not are found out.
constexpr std::uint64_t hash_name(std::string_view name,
                                  std::uint64_t seed = 14695981039346656037u) noexcept {
  for (const char byte : name) seed = (seed ^ static_cast<unsigned char>(byte)) * 1099511628211u;
  return seed;
}

/// By which an object's type is the same in two programs: of `dict<K, V>` the hash of the names of K and V.
template <class... T>
std::uint64_t type_key(kind what) {
  std::uint64_t key = hash_name({}) + static_cast<std::uint64_t>(what);
  ((key = hash_name(typeid(T).name(), key)), ...);
  return key;
}

/// The types that `fetch_add` adds.
enum class arithmetic : std::uint8_t { i8 = 1, i16, i32, i64, u8, u16, u32, u64, f32, f64 };

template <class T>
constexpr arithmetic arithmetic_of() {
  static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool> && sizeof(T) <= 8,
                "fetch_add adds numbers");
  constexpr auto rank = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
  constexpr auto base = std::is_floating_point_v<T> ? 7 : std::is_signed_v<T> ? 1 : 5;
  return static_cast<arithmetic>(base + rank);
}

}  // namespace brood::remote
