// The archives that a class's own `serialize`, or `save` and `load`, are given. cereal finds and calls these
// functions; whatever they pass on comes back to this library's codec, which checks every size.
#pragma once

#include <cereal/cereal.hpp>
#include <cereal/types/base_class.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "brood/arena/detail/byte_stream.hpp"

namespace brood::detail {

template <class T>
void write_value(byte_writer& out, const T& value);
template <class T>
void read_into(byte_reader& in, T& value);
template <class T>
constexpr void require_codable();

template <class T, template <class...> class Template>
inline constexpr bool is_a = false;
template <template <class...> class Template, class... T>
inline constexpr bool is_a<Template<T...>, Template> = true;

/// Wrappers that only cereal knows how to handle.
template <class T>
inline constexpr bool left_to_cereal = is_a<T, cereal::virtual_base_class> || is_a<T, cereal::DeferredData>;

/// The `ar` of `save(A& ar) const`: `ar(a, b, ...)` writes values, `ar.write` raw bytes.
class output_archive : public cereal::OutputArchive<output_archive> {
 public:
  explicit output_archive(byte_writer& out) : cereal::OutputArchive<output_archive>(this), out_(out) {}

  void write(const void* data, std::size_t size) { out_.write(data, size); }

  template <class... T>
  output_archive& operator()(T&&... values) {
    (put(values), ...);
    return *this;
  }
  template <class T>
  output_archive& operator&(T&& value) {
    return (*this)(value);
  }
  template <class T>
  output_archive& operator<<(T&& value) {
    return (*this)(value);
  }

  /// Calls the functions of `object`'s own.
  template <class T>
  void save_object(const T& object) {
    cereal::OutputArchive<output_archive>::operator()(object);
  }

 private:
  template <class T>
  void put(const T& value) {
    if constexpr (is_a<T, cereal::NameValuePair>) {
      put(value.value);
    } else if constexpr (is_a<T, cereal::SizeTag>) {
      out_.write_count(static_cast<std::uint64_t>(value.size));
    } else if constexpr (is_a<T, cereal::BinaryData>) {
      out_.write(value.data, static_cast<std::size_t>(value.size));
    } else if constexpr (is_a<T, cereal::MapItem>) {
      put(value.key);
      put(value.value);
    } else if constexpr (is_a<T, cereal::base_class>) {
      put(*value.base_ptr);
    } else if constexpr (left_to_cereal<T>) {
      save_object(value);
    } else {
      require_codable<T>();
      write_value(out_, value);
    }
  }

  byte_writer& out_;
};

/// The `ar` of `load(A& ar)`: `ar(a, b, ...)` assigns values, `ar.read` copies raw bytes, `ar.remaining()`
/// tells how many are left in the whole message. Each throws `decode_error` where the bytes do not suffice. A
/// size tag of more elements than bytes are left is an error, so a container may be resized to it.
class input_archive : public cereal::InputArchive<input_archive> {
 public:
  explicit input_archive(byte_reader& in) : cereal::InputArchive<input_archive>(this), in_(in) {}

  void read(void* into, std::size_t size) { in_.read(into, size); }
  std::size_t remaining() const noexcept { return in_.remaining(); }

  template <class... T>
  input_archive& operator()(T&&... values) {
    (get(values), ...);
    return *this;
  }
  template <class T>
  input_archive& operator&(T&& value) {
    return (*this)(value);
  }
  template <class T>
  input_archive& operator>>(T&& value) {
    return (*this)(value);
  }

  /// Calls the functions of `object`'s own.
  template <class T>
  void load_object(T& object) {
    cereal::InputArchive<input_archive>::operator()(object);
  }

 private:
  template <class T>
  void get(T& value) {
    if constexpr (is_a<T, cereal::NameValuePair>) {
      get(value.value);
    } else if constexpr (is_a<T, cereal::SizeTag>) {
      value.size = static_cast<std::remove_reference_t<decltype(value.size)>>(
          in_.read_block_count("container", "elements", 1));
    } else if constexpr (is_a<T, cereal::BinaryData>) {
      in_.read(value.data, static_cast<std::size_t>(value.size));
    } else if constexpr (is_a<T, cereal::MapItem>) {
      get(value.key);
      get(value.value);
    } else if constexpr (is_a<T, cereal::base_class>) {
      get(*value.base_ptr);
    } else if constexpr (left_to_cereal<T>) {
      load_object(value);
    } else {
      require_codable<T>();
      read_into(in_, value);
    }
  }

  byte_reader& in_;
};

// What cereal itself writes through an archive: class versions, and the results of `save_minimal`.
template <class T>
void CEREAL_SERIALIZE_FUNCTION_NAME(output_archive& ar, cereal::NameValuePair<T>& pair) {
  ar(pair.value);
}
template <class T>
void CEREAL_SERIALIZE_FUNCTION_NAME(input_archive& ar, cereal::NameValuePair<T>& pair) {
  ar(pair.value);
}
template <class T>
  requires std::is_arithmetic_v<T>
void CEREAL_SAVE_FUNCTION_NAME(output_archive& ar, const T& number) {
  ar(number);
}
template <class T>
  requires std::is_arithmetic_v<T>
void CEREAL_LOAD_FUNCTION_NAME(input_archive& ar, T& number) {
  ar(number);
}
inline void CEREAL_SAVE_FUNCTION_NAME(output_archive& ar, const std::string& text) { ar(text); }
inline void CEREAL_LOAD_FUNCTION_NAME(input_archive& ar, std::string& text) { ar(text); }

}  // namespace brood::detail

CEREAL_SETUP_ARCHIVE_TRAITS(brood::detail::input_archive, brood::detail::output_archive)
