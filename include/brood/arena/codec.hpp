// The codec: values to bytes and back, between processes that run one image.
//
// What can travel: numbers, enumerations, strings, the standard containers, optional, variant, tuple, chrono,
// path, unique_ptr; aggregates of such; classes that are trivially copyable; and classes with `serialize`, or
// `save` and `load`, as cereal knows them. A class of the last kind decides itself, also if it is an
// aggregate:
//
//   class handle {
//     template <class A> void save(A& ar) const { ar(block_); }   // or ar.write(data, size)
//     template <class A> void load(A& ar) { ar(block_); }         // or ar.read(data, size), ar.remaining()
//   };
//
// Such an object is made by its constructor that takes `brood::to_be_loaded`, if it has one, or else by
// default. A class that is trivially copyable and keeps its members private goes by its bytes: if not all
// bytes are valid for it, give it `save` and a `load` that checks.
//
// The encoding is for the moment, not for storage: little overhead, no field names, the machine's byte order.
// An aggregate that is trivially copyable goes by its bytes, its padding included.
#pragma once

#include <cereal/details/helpers.hpp>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "brood/arena/detail/container_codec.hpp"
#include "brood/coroutine/error.hpp"

namespace brood {

using bytes = std::vector<std::byte>;

/// Bytes that are no encoding of the type they were to be decoded as; `what()` says what is wrong with them.
class BROOD_API decode_error : public error {
 public:
  explicit decode_error(const std::string& wrong) : error("cannot decode: " + wrong) {}
};

/// Types that `encode` and `decode` take.
template <class T>
concept codable = detail::can_travel<T>;

/// Types whose encoding is their own `sizeof(T)` bytes and for which any bytes are a valid value: one
/// `memcpy` each way.
template <class T>
inline constexpr bool is_flat = false;
template <codable T>
inline constexpr bool is_flat<T> = detail::flat<std::remove_cv_t<T>>();

/// Appends the encodings of `values` to `out`, one after the other.
/// Throws `error` for values nested deeper than 256 levels, and what a class's own `save` throws; `out` is
/// then as it was.
template <class... T>
void encode_to(bytes& out, const T&... values);

/// The encodings of `values`, one after the other: an argument list. To be read by `decode_all`.
template <class... T>
[[nodiscard]] bytes encode(const T&... values);

/// Encodes into memory of the caller's without allocating any. Returns the size of the encoding; if that is
/// more than `out.size()`, the contents of `out` are of no use. With an empty span it measures.
template <class... T>
std::size_t encode_into(std::span<std::byte> out, const T&... values);

/// The value that `from` is the encoding of, the whole of it. Throws `decode_error` if it is not.
/// Memory taken before that is within a constant factor of `from.size()`; values nest at most 256 levels
/// deep.
template <class T>
[[nodiscard]] T decode(std::span<const std::byte> from);

/// The values that `encode(const Ts&...)` was given.
template <class... T>
[[nodiscard]] std::tuple<T...> decode_all(std::span<const std::byte> from);

}  // namespace brood

#include "brood/arena/detail/codec_impl.hpp"
#include "brood/export.hpp"
