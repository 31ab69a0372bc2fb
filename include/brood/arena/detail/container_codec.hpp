// Encodings of the standard containers: the number of elements, then the elements. Nothing is reserved that
// the bytes present could not fill; see byte_reader on claims.
#pragma once

#include <concepts>
#include <cstddef>
#include <deque>
#include <forward_list>
#include <iterator>
#include <list>
#include <map>
#include <queue>
#include <set>
#include <stack>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "brood/arena/detail/standard_codec.hpp"

namespace brood::detail {

/// Calls `read_one` once for each element that the count announces.
template <class Reserve, class ReadOne>
void read_elements(byte_reader& in, const char* what, std::size_t least, Reserve reserve, ReadOne read_one) {
  const nesting level(in);
  const std::size_t count = in.read_count(what, least);
  reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    in.release(least);
    read_one();
  }
}

template <class Container>
void write_elements(byte_writer& out, const Container& container, std::size_t size) {
  const nesting level(out);
  out.write_count(size);
  for (const auto& element : container) write_value(out, element);
}

inline constexpr auto reserve_nothing = [](std::size_t) {};

template <class T, class Allocator>
struct standard_codec<std::vector<T, Allocator>> {
  using parts = type_list<T>;
  using vector = std::vector<T, Allocator>;
  static constexpr bool one_block = flat<T>() && std::default_initializable<T>;
  static constexpr std::size_t least() { return 1; }

  static void write(byte_writer& out, const vector& elements) {
    if constexpr (flat<T>()) {
      out.write_count(elements.size());
      out.write(elements.data(), elements.size() * sizeof(T));
    } else {
      write_elements(out, elements, elements.size());
    }
  }
  static vector read(byte_reader& in) {
    if constexpr (one_block) {
      const std::size_t count = in.read_block_count("vector", "elements", sizeof(T));
      const std::byte* block = in.take(count * sizeof(T));
      if constexpr (std::is_same_v<T, std::byte> || std::is_same_v<T, char> ||
                    std::is_same_v<T, unsigned char>) {
        const T* first = reinterpret_cast<const T*>(block);  // types that may look at any bytes
        return vector(first, first + count);
      } else {
        vector elements(count);
        if (count != 0) std::memcpy(static_cast<void*>(elements.data()), block, count * sizeof(T));
        return elements;
      }
    } else {
      vector elements;
      read_elements(
          in, "vector", least_size<T>(), [&](std::size_t n) { elements.reserve(n); },
          [&] { elements.emplace_back(read_value<T>(in)); });
      return elements;
    }
  }
};

template <class Allocator>
struct standard_codec<std::vector<bool, Allocator>> {
  using parts = type_list<>;
  using vector = std::vector<bool, Allocator>;
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const vector& bits) {
    out.write_count(bits.size());
    bit_codec::write(out, bits, bits.size());
  }
  static vector read(byte_reader& in) {
    const std::uint64_t count = in.read_number();
    in.expect_bits("vector<bool>", count);
    vector bits(static_cast<std::size_t>(count));
    bit_codec::read(in, bits, bits.size());
    return bits;
  }
};

/// std::deque and std::list.
template <class Sequence>
struct sequence_codec {
  using element = typename Sequence::value_type;
  using parts = type_list<element>;
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const Sequence& elements) {
    write_elements(out, elements, elements.size());
  }
  static Sequence read(byte_reader& in) {
    Sequence elements;
    read_elements(in, "sequence", least_size<element>(), reserve_nothing,
                  [&] { elements.emplace_back(read_value<element>(in)); });
    return elements;
  }
};
template <class T, class A>
struct standard_codec<std::deque<T, A>> : sequence_codec<std::deque<T, A>> {};
template <class T, class A>
struct standard_codec<std::list<T, A>> : sequence_codec<std::list<T, A>> {};

template <class T, class A>
struct standard_codec<std::forward_list<T, A>> {
  using parts = type_list<T>;
  using list = std::forward_list<T, A>;
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const list& elements) {
    write_elements(out, elements, static_cast<std::size_t>(std::distance(elements.begin(), elements.end())));
  }
  static list read(byte_reader& in) {
    list elements;
    auto last = elements.before_begin();
    read_elements(in, "forward_list", least_size<T>(), reserve_nothing,
                  [&] { last = elements.emplace_after(last, read_value<T>(in)); });
    return elements;
  }
};

/// Sets: sorted ones arrive in order, so that the end is the right hint.
template <class Set>
struct set_codec {
  using element = typename Set::value_type;
  using parts = type_list<element>;
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const Set& elements) { write_elements(out, elements, elements.size()); }
  static Set read(byte_reader& in) {
    Set elements;
    read_elements(
        in, "set", least_size<element>(),
        [&](std::size_t n) {
          if constexpr (requires { elements.reserve(n); }) elements.reserve(n);
        },
        [&] { elements.emplace_hint(elements.end(), read_value<element>(in)); });
    return elements;
  }
};
template <class T, class... Rest>
struct standard_codec<std::set<T, Rest...>> : set_codec<std::set<T, Rest...>> {};
template <class T, class... Rest>
struct standard_codec<std::multiset<T, Rest...>> : set_codec<std::multiset<T, Rest...>> {};
template <class T, class... Rest>
struct standard_codec<std::unordered_set<T, Rest...>> : set_codec<std::unordered_set<T, Rest...>> {};
template <class T, class... Rest>
struct standard_codec<std::unordered_multiset<T, Rest...>> : set_codec<std::unordered_multiset<T, Rest...>> {
};

template <class Map>
struct map_codec {
  using key_type = typename Map::key_type;
  using mapped_type = typename Map::mapped_type;
  using parts = type_list<key_type, mapped_type>;
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const Map& elements) { write_elements(out, elements, elements.size()); }
  static Map read(byte_reader& in) {
    Map elements;
    read_elements(
        in, "map", sum_of_least(parts()),
        [&](std::size_t n) {
          if constexpr (requires { elements.reserve(n); }) elements.reserve(n);
        },
        [&] {
          auto key = read_value<key_type>(in);
          elements.emplace_hint(elements.end(), std::move(key), read_value<mapped_type>(in));
        });
    return elements;
  }
};
template <class K, class... Rest>
struct standard_codec<std::map<K, Rest...>> : map_codec<std::map<K, Rest...>> {};
template <class K, class... Rest>
struct standard_codec<std::multimap<K, Rest...>> : map_codec<std::multimap<K, Rest...>> {};
template <class K, class... Rest>
struct standard_codec<std::unordered_map<K, Rest...>> : map_codec<std::unordered_map<K, Rest...>> {};
template <class K, class... Rest>
struct standard_codec<std::unordered_multimap<K, Rest...>> : map_codec<std::unordered_multimap<K, Rest...>> {
};

/// std::stack and its like: as the container inside, which is a protected member.
template <class Adaptor>
struct adaptor_codec {
  using container = typename Adaptor::container_type;
  using parts = type_list<container>;
  struct access : Adaptor {
    static const container& inside(const Adaptor& adaptor) { return adaptor.*(&access::c); }
    static container& inside(Adaptor& adaptor) { return adaptor.*(&access::c); }
  };
  static constexpr std::size_t least() { return 1; }
  static void write(byte_writer& out, const Adaptor& adaptor) { write_value(out, access::inside(adaptor)); }
  static Adaptor read(byte_reader& in) {
    Adaptor adaptor;
    access::inside(adaptor) = read_value<container>(in);
    return adaptor;
  }
};
template <class T, class C>
struct standard_codec<std::stack<T, C>> : adaptor_codec<std::stack<T, C>> {};
template <class T, class C>
struct standard_codec<std::queue<T, C>> : adaptor_codec<std::queue<T, C>> {};

/// The order of arrival need not be a heap: hostile bytes may say anything.
template <class T, class C, class Compare>
struct standard_codec<std::priority_queue<T, C, Compare>>
    : adaptor_codec<std::priority_queue<T, C, Compare>> {
  using adaptor = std::priority_queue<T, C, Compare>;
  static adaptor read(byte_reader& in) { return adaptor(Compare(), read_value<C>(in)); }
};

}  // namespace brood::detail
