// Numbers in values, which the server adds without knowing more of them.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>

#include "brood/manager/detail/protocol.hpp"

namespace brood::remote {

template <class T>
std::string sum_as(const std::string& a, const std::string& b) {
  if (a.size() != sizeof(T) || b.size() != sizeof(T)) throw decode_error("a number of another size");
  T x;
  T y;
  std::memcpy(&x, a.data(), sizeof x);
  std::memcpy(&y, b.data(), sizeof y);
  if constexpr (std::is_integral_v<T>) {  // wraps around, as std::atomic's does
    using unsigned_t = std::make_unsigned_t<T>;
    x = static_cast<T>(static_cast<unsigned_t>(static_cast<unsigned_t>(x) + static_cast<unsigned_t>(y)));
  } else {
    x += y;
  }
  return std::string(reinterpret_cast<const char*>(&x), sizeof x);
}

inline std::string sum(arithmetic type, const std::string& a, const std::string& b) {
  switch (type) {
    case arithmetic::i8:
      return sum_as<std::int8_t>(a, b);
    case arithmetic::i16:
      return sum_as<std::int16_t>(a, b);
    case arithmetic::i32:
      return sum_as<std::int32_t>(a, b);
    case arithmetic::i64:
      return sum_as<std::int64_t>(a, b);
    case arithmetic::u8:
      return sum_as<std::uint8_t>(a, b);
    case arithmetic::u16:
      return sum_as<std::uint16_t>(a, b);
    case arithmetic::u32:
      return sum_as<std::uint32_t>(a, b);
    case arithmetic::u64:
      return sum_as<std::uint64_t>(a, b);
    case arithmetic::f32:
      return sum_as<float>(a, b);
    case arithmetic::f64:
      return sum_as<double>(a, b);
  }
  throw decode_error("an unknown type of numbers");
}

}  // namespace brood::remote
