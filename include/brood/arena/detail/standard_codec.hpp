// Encodings of the standard library's types but containers.
#pragma once

#include <array>
#include <bitset>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

#include "brood/arena/detail/value_codec.hpp"

namespace brood::detail {

/// Its length, then its characters.
template <class C, class Traits, class Allocator>
struct standard_codec<std::basic_string<C, Traits, Allocator>> {
  using parts = type_list<C>;
  using string = std::basic_string<C, Traits, Allocator>;
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const string& text) {
    out.write_count(text.size());
    out.write(text.data(), text.size() * sizeof(C));
  }
  static string read(byte_reader& in) {
    const std::size_t length =
        in.read_block_count("string", sizeof(C) == 1 ? "bytes" : "characters", sizeof(C));
    const std::byte* block = in.take(length * sizeof(C));
    if constexpr (std::is_same_v<C, char>) {
      return string(reinterpret_cast<const char*>(block), length);
    } else {
      string text(length, C());
      if (length != 0) std::memcpy(text.data(), block, length * sizeof(C));
      return text;
    }
  }
};

template <>
struct standard_codec<std::filesystem::path> {
  using parts = type_list<>;
  using native = standard_codec<std::filesystem::path::string_type>;
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const std::filesystem::path& path) {
    native::write(out, path.native());
  }
  static std::filesystem::path read(byte_reader& in) { return native::read(in); }
};

/// A byte that is 1 if there is a value, then the value.
template <class T>
struct standard_codec<std::optional<T>> {
  using parts = type_list<T>;
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const std::optional<T>& value) {
    out.write_byte(value ? 1 : 0);
    if (value) write_value(out, *value);
  }
  static std::optional<T> read(byte_reader& in) {
    if (!in.read_flag("flag of an optional")) return std::nullopt;
    return std::optional<T>(std::in_place, read_value<std::remove_cv_t<T>>(in));
  }
};

template <class T>
struct standard_codec<std::unique_ptr<T>> {
  using parts = type_list<T>;
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const std::unique_ptr<T>& pointer) {
    const nesting level(out);
    out.write_byte(pointer ? 1 : 0);
    if (pointer) write_value(out, std::as_const(*pointer));
  }
  static std::unique_ptr<T> read(byte_reader& in) {
    const nesting level(in);
    if (!in.read_flag("flag of a unique_ptr")) return nullptr;
    return std::unique_ptr<T>(new T(read_value<std::remove_cv_t<T>>(in)));
  }
};

/// The index, then the value. A variant that lost its value throws `std::bad_variant_access`.
template <class... T>
struct standard_codec<std::variant<T...>> {
  using parts = type_list<T...>;
  using variant = std::variant<T...>;
  static constexpr std::size_t least() { return 2; }
  static void write(byte_writer& out, const variant& value) {
    std::visit(
        [&](const auto& alternative) {
          out.write_count(value.index());
          write_value(out, alternative);
        },
        value);
  }
  static variant read(byte_reader& in) {
    const std::uint64_t index = in.read_number();
    if (index >= sizeof...(T)) byte_reader::fail_value("variant index", index);
    return read_alternative(in, static_cast<std::size_t>(index), std::index_sequence_for<T...>());
  }

 private:
  template <std::size_t i>
  static variant read_as(byte_reader& in) {
    return variant(std::in_place_index<i>, read_value<std::variant_alternative_t<i, variant>>(in));
  }
  template <std::size_t... i>
  static variant read_alternative(byte_reader& in, std::size_t index, std::index_sequence<i...>) {
    static constexpr std::array readers = {&read_as<i>...};
    return readers[index](in);
  }
};

template <class A, class B>
struct standard_codec<std::pair<A, B>> {
  using parts = type_list<A, B>;
  static constexpr std::size_t least() { return sum_of_least(parts()); }
  static void write(byte_writer& out, const std::pair<A, B>& pair) {
    write_value(out, pair.first);
    write_value(out, pair.second);
  }
  static std::pair<A, B> read(byte_reader& in) {
    return std::pair<A, B>{read_value<std::remove_cv_t<A>>(in), read_value<std::remove_cv_t<B>>(in)};
  }
};

template <class... T>
struct standard_codec<std::tuple<T...>> {
  using parts = type_list<T...>;
  static constexpr std::size_t least() { return sum_of_least(parts()); }
  static void write(byte_writer& out, const std::tuple<T...>& tuple) {
    if constexpr (sizeof...(T) == 0) {
      out.write_byte(0);
    } else {
      std::apply([&out](const auto&... values) { (write_value(out, values), ...); }, tuple);
    }
  }
  static std::tuple<T...> read(byte_reader& in) {
    if constexpr (sizeof...(T) == 0) in.read_byte();
    return std::tuple<T...>{read_value<std::remove_cv_t<T>>(in)...};
  }
};

template <class T, std::size_t n>
struct standard_codec<std::array<T, n>> {
  using parts = type_list<T>;
  static constexpr std::size_t least() { return n == 0 ? 1 : n * least_size<std::remove_cv_t<T>>(); }
  static void write(byte_writer& out, const std::array<T, n>& array) {
    if constexpr (n == 0) out.write_byte(0);
    for (const T& element : array) write_value(out, element);
  }
  static std::array<T, n> read(byte_reader& in) {
    if constexpr (n == 0) in.read_byte();
    if constexpr (std::default_initializable<T> && std::is_move_assignable_v<T>) {
      std::array<T, n> array{};
      for (T& element : array) read_into(in, element);
      return array;
    } else {
      return [&in]<std::size_t... i>(std::index_sequence<i...>) {
        return std::array<T, n>{(static_cast<void>(i), read_value<std::remove_cv_t<T>>(in))...};
      }(std::make_index_sequence<n>());
    }
  }
};

/// Eight bits a byte, the lowest first; what is left of the last byte is zero.
struct bit_codec {
  static constexpr std::size_t bytes_for(std::size_t bits) { return bits / 8 + (bits % 8 != 0); }

  template <class Bits>
  static void write(byte_writer& out, const Bits& bits, std::size_t count) {
    for (std::size_t start = 0; start < count; start += 8) {
      unsigned byte = 0;
      for (std::size_t i = 0; i < 8 && start + i < count; ++i) byte |= (bits[start + i] ? 1U : 0U) << i;
      out.write_byte(static_cast<unsigned char>(byte));
    }
  }
  template <class Bits>
  static void read(byte_reader& in, Bits& bits, std::size_t count) {
    for (std::size_t start = 0; start < count; start += 8) {
      const unsigned byte = in.read_byte();
      for (std::size_t i = 0; i < 8 && start + i < count; ++i) bits[start + i] = ((byte >> i) & 1) != 0;
      if (count - start < 8 && (byte >> (count - start)) != 0)
        byte_reader::fail_value("last byte of bits", byte);
    }
  }
};

template <std::size_t n>
struct standard_codec<std::bitset<n>> {
  using parts = type_list<>;
  static constexpr std::size_t least() { return n == 0 ? 1 : bit_codec::bytes_for(n); }
  static void write(byte_writer& out, const std::bitset<n>& bits) {
    if constexpr (n == 0) out.write_byte(0);
    bit_codec::write(out, bits, n);
  }
  static std::bitset<n> read(byte_reader& in) {
    if constexpr (n == 0) in.read_byte();
    std::bitset<n> bits;
    bit_codec::read(in, bits, n);
    return bits;
  }
};

}  // namespace brood::detail
