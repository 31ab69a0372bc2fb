// Bodies of codec.hpp, which includes this at its end.
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <tuple>

namespace brood {
namespace detail {

/// About the size of the encoding, found without walking containers.
template <class T>
std::size_t size_hint(const T& value) {
  if constexpr (flat<T>()) {
    return sizeof(T);
  } else if constexpr (requires {
                         { value.data()[0] } -> std::same_as<const typename T::value_type&>;
                         value.size();
                       }) {
    return value.size() * sizeof(typename T::value_type) + 9;
  } else if constexpr (plain_aggregate<T> && !standard_type<T> && !saves_itself<T> && !std::is_empty_v<T>) {
    return unpack<field_count<T>>(
        value, []<class... F>(const F&... fields) { return (std::size_t{0} + ... + size_hint(fields)); });
  } else {
    return least_size<T>();
  }
}

/// While it lives, a reader or writer has an archive for the classes that ask for one.
template <class Stream, class Archive>
class archive_of {
 public:
  archive_of(Stream& stream, std::optional<Archive>& archive) : stream_(stream) { stream.archive = &archive; }
  ~archive_of() { stream_.archive = nullptr; }
  archive_of(const archive_of&) = delete;
  archive_of& operator=(const archive_of&) = delete;

 private:
  Stream& stream_;
};

template <class... T>
std::size_t encode_values(byte_writer& out, const T&... values) {
  if constexpr ((flat<T>() && ...)) {
    (write_value(out, values), ...);
    return out.finish();
  } else {
    std::optional<output_archive> archive;
    const archive_of uses(out, archive);
    (write_value(out, values), ...);
    return out.finish();
  }
}

/// Calls `read` with a reader of `from`, all of which it must read.
template <class Read>
auto decode_whole(std::span<const std::byte> from, Read read) {
  byte_reader in(from);
  std::optional<input_archive> archive;
  const archive_of uses(in, archive);
  try {
    auto result = read(in);
    in.expect_end();
    return result;
  } catch (const cereal::Exception& e) {
    throw decode_error(e.what());
  }
}

}  // namespace detail

template <class... T>
void encode_to(bytes& out, const T&... values) {
  (detail::require_codable<T>(), ...);
  if constexpr ((codable<T> && ...)) {
    detail::byte_writer writer(out);
    detail::encode_values(writer, values...);
  }
}

template <class... T>
bytes encode(const T&... values) {
  (detail::require_codable<T>(), ...);
  bytes out;
  if constexpr ((codable<T> && ...)) {
    out.reserve((std::size_t{0} + ... + detail::size_hint(values)));
    encode_to(out, values...);
  }
  return out;
}

template <class... T>
std::size_t encode_into(std::span<std::byte> out, const T&... values) {
  (detail::require_codable<T>(), ...);
  if constexpr ((codable<T> && ...)) {
    detail::byte_writer writer(out);
    return detail::encode_values(writer, values...);
  } else {
    return 0;
  }
}

template <class T>
T decode(std::span<const std::byte> from) {
  detail::require_codable<T>();
  if constexpr (is_flat<T>) {
    detail::byte_reader in(from);
    in.expect_size(sizeof(T));
    return detail::read_flat<T>(in);
  } else if constexpr (codable<T>) {
    return detail::decode_whole(from, [](detail::byte_reader& in) { return detail::read_value<T>(in); });
  }
}

template <class... T>
std::tuple<T...> decode_all(std::span<const std::byte> from) {
  (detail::require_codable<T>(), ...);
  if constexpr ((is_flat<T> && ...)) {
    detail::byte_reader in(from);
    std::tuple<T...> result{detail::read_flat<T>(in)...};
    in.expect_end();
    return result;
  } else if constexpr ((codable<T> && ...)) {
    return detail::decode_whole(
        from, [](detail::byte_reader& in) { return std::tuple<T...>{detail::read_value<T>(in)...}; });
  }
}

}  // namespace brood
