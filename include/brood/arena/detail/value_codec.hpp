// Writes and reads one value of any type that can travel: numbers, aggregates, and classes with functions of
// cereal's kind. The types of the standard library are in standard_codec.hpp.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <type_traits>

#include "brood/arena/detail/byte_stream.hpp"
#include "brood/arena/detail/codable.hpp"
#include "brood/arena/detail/memory_archive.hpp"

namespace brood::detail {

template <class T>
T read_value(byte_reader& in);

/// A class that saves nothing gets a byte all the same; see `least_size`.
template <class T>
void write_object(byte_writer& out, const T& object) {
  const nesting level(out);
  const std::size_t before = out.position();
  if (!*out.archive) out.archive->emplace(out);
  (*out.archive)->save_object(object);
  if (out.position() == before) out.write_byte(0);
}

template <class T>
void read_object(byte_reader& in, T& object) {
  const nesting level(in);
  const std::size_t before = in.remaining();
  if (!*in.archive) in.archive->emplace(in);
  (*in.archive)->load_object(object);
  if (in.remaining() == before) in.read_byte();
}

template <class T>
void write_value(byte_writer& out, const T& value) {
  if constexpr (flat<T>()) {
    out.write(std::addressof(value), sizeof(T));
  } else if constexpr (std::is_array_v<T>) {
    for (const auto& element : value) write_value(out, element);
  } else if constexpr (standard_type<T>) {
    standard_codec<T>::write(out, value);
  } else if constexpr (scalar<T>) {  // bool, or an enumeration of it
    out.write_byte(static_cast<bool>(value) ? 1 : 0);
  } else if constexpr (saves_itself<T>) {
    write_object(out, value);
  } else if constexpr (plain_aggregate<T> && !std::is_empty_v<T>) {
    unpack<field_count<T>>(value,
                           [&out]<class... F>(const F&... fields) { (write_value(out, fields), ...); });
  } else {
    out.write_byte(0);  // nothing to tell
  }
}

template <class T>
T read_flat(byte_reader& in) {
  if constexpr (std::is_trivially_default_constructible_v<T>) {
    T value;
    in.read(std::addressof(value), sizeof(T));
    return value;
  } else {
    std::array<std::byte, sizeof(T)> raw;
    in.read(raw.data(), sizeof(T));
    return std::bit_cast<T>(raw);
  }
}

// A bit-field may be narrower than its type; what does not fit was never written by an honest sender.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
template <class T, class... F>
T read_aggregate(byte_reader& in, type_list<F...>) {
  if constexpr ((std::is_array_v<F> || ...)) {
    T value{};
    unpack<sizeof...(F)>(value, [&in]<class...>(auto&... fields) { (read_into(in, fields), ...); });
    return value;
  } else {
    return T{read_value<std::remove_cv_t<F>>(in)...};  // in braces, so from first to last
  }
}
#pragma GCC diagnostic pop

/// An object that is about to load itself.
template <class T>
T object_to_load() {
  if constexpr (takes_load_tag<T>) {
    return T(to_be_loaded());
  } else {
    return T{};
  }
}

/// Needs no default constructor but for classes that load themselves, and no assignment.
template <class T>
T read_value(byte_reader& in) {
  if constexpr (flat<T>()) {
    return read_flat<T>(in);
  } else if constexpr (standard_type<T>) {
    return standard_codec<T>::read(in);
  } else if constexpr (scalar<T>) {
    return static_cast<T>(in.read_flag("bool"));
  } else if constexpr (loads_itself<T>) {
    T object = object_to_load<T>();
    read_object(in, object);
    return object;
  } else if constexpr (plain_aggregate<T> && !std::is_empty_v<T>) {
    return read_aggregate<T>(in, fields_of<T>());
  } else {
    const auto nothing = static_cast<std::byte>(in.read_byte());
    if constexpr (std::default_initializable<T>) {
      return T{};
    } else {
      return std::bit_cast<T>(nothing);
    }
  }
}

/// Assigns to an object that exists, in place where that is possible.
template <class T>
void read_into(byte_reader& in, T& value) {
  if constexpr (std::is_array_v<T> && !flat<T>()) {
    for (auto& element : value) read_into(in, element);
  } else if constexpr (flat<T>() && std::is_trivially_copyable_v<T>) {
    in.read(static_cast<void*>(std::addressof(value)), sizeof(T));
  } else if constexpr (!standard_type<T> && loads_itself<T>) {
    read_object(in, value);
  } else {
    value = read_value<T>(in);
  }
}

}  // namespace brood::detail
