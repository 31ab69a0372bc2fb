// How an answer is read.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "brood/export.hpp"
#include "brood/manager/detail/request.hpp"

namespace brood::remote {

/// What came back: bytes, or why there are none. The bytes live as long as the call of `settle`.
struct answer {
  std::span<const std::byte> body;
  std::exception_ptr failure;
};

/// Reads an answer. Every member throws `decode_error` rather than look beyond its end.
class BROOD_API answer_reader {
 public:
  /// `again`: it was read before, so that the references in it are counted already.
  answer_reader(const request& asked, std::span<const std::byte> body, bool again = false)
      : asked_(asked), in_(body), again_(again) {}

  std::uint64_t count() { return in_.read_number(); }
  bool flag() { return in_.read_flag("flag of an answer"); }
  template <class T>
  T value() {
    const held_value held = take_value();
    const home_scope scope(home().get());
    return decode<T>(held.data);
  }
  /// A value that is there or is not.
  template <class T>
  std::optional<T> optional() {
    if (!flag()) return std::nullopt;
    return std::optional<T>(std::in_place, value<T>());
  }
  /// So many of something that takes a byte at least.
  std::size_t size() {
    const std::uint64_t announced = count();
    if (announced > in_.remaining()) throw decode_error("an answer of more elements than bytes");
    return static_cast<std::size_t>(announced);
  }
  template <class T>
  std::vector<T> values() {
    std::vector<T> result;
    const std::size_t announced = size();
    result.reserve(announced);
    for (std::size_t i = 0; i < announced; ++i) result.push_back(value<T>());
    return result;
  }
  /// A new object, which this process now holds once.
  object_pointer object(std::uint64_t type);

  const std::shared_ptr<client>& home() const noexcept { return asked_.home(); }
  const object_pointer& target() const noexcept { return asked_.target(); }

 private:
  struct held_value {
    std::span<const std::byte> data;
    std::vector<object_pointer> objects;  // until the value's own handles hold them
  };
  held_value take_value();
  object_pointer take_object();

  const request& asked_;
  detail::byte_reader in_;
  bool again_;
};

struct to_nothing {
  void operator()(answer_reader&) const {}
};
struct to_flag {
  bool operator()(answer_reader& from) const { return from.flag(); }
};
struct to_size {
  std::size_t operator()(answer_reader& from) const { return static_cast<std::size_t>(from.count()); }
};
template <class T>
struct to_value {
  T operator()(answer_reader& from) const { return from.value<T>(); }
};
template <class T>
struct to_optional {
  std::optional<T> operator()(answer_reader& from) const { return from.optional<T>(); }
};
template <class T>
struct to_values {
  std::vector<T> operator()(answer_reader& from) const { return from.values<T>(); }
};

}  // namespace brood::remote
