// Bytes that lie: whatever arrives, decoding gives a value or `decode_error`, and takes no more memory than
// the bytes could fill.
#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>
#include <string>

#include "brood/arena/codec.hpp"
#include "catch.hpp"
#include "codec_samples.hpp"

using namespace brood;
using namespace samples;

namespace {

std::size_t live_bytes = 0;
std::size_t most_live_bytes = 0;

/// Heap memory taken beyond what was live at the beginning, at its highest.
template <class F>
std::size_t memory_taken(F f) {
  const std::size_t before = live_bytes;
  most_live_bytes = live_bytes;
  f();
  return most_live_bytes - before;
}

}  // namespace

// Not inlined: GCC 12 would see `free` called on what `operator new` gave, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* block = std::malloc(size);
  if (block == nullptr) throw std::bad_alloc();
  live_bytes += malloc_usable_size(block);
  most_live_bytes = std::max(most_live_bytes, live_bytes);
  return block;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* block) noexcept {
  live_bytes -= block == nullptr ? 0 : malloc_usable_size(block);
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept { operator delete(block); }

namespace {

bytes raw(std::initializer_list<int> values) {
  bytes result;
  for (int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

/// A count, as the writer would put it.
bytes count_of(std::uint64_t n, std::size_t padding = 0) {
  bytes result;
  detail::byte_writer out(result);
  out.write_count(n);
  for (std::size_t i = 0; i < padding; ++i) out.write_byte(1);
  out.finish();
  return result;
}

template <class T>
std::string error_of(const bytes& encoded) {
  try {
    static_cast<void>(decode<T>(encoded));
  } catch (const decode_error& e) {
    return e.what();
  }
  return "none";
}

/// Either decodes to something that can be encoded and decoded again, or throws `decode_error`; in bounded
/// memory.
template <class T>
bool survives(const bytes& hostile) {
  bool decoded = false;
  const std::size_t taken = memory_taken([&] {
    try {
      [[maybe_unused]] const T value = decode<T>(hostile);
      decoded = true;
    } catch (const decode_error&) {
    }
  });
  // A node of a hash table of empty strings takes some 100 bytes for each of its own; the rest is the error's
  // text.
  CHECK(taken <= 4096 + hostile.size() * 256);
  if (decoded) {
    const bytes again = encode(decode<T>(hostile));
    CHECK(encode(decode<T>(again)).size() == again.size());
  }
  return decoded;
}

template <class T>
void withstands(const T& value) {
  const bytes encoded = encode(value);
  REQUIRE(survives<T>(encoded));
  for (std::size_t length = 0; length < encoded.size(); ++length) {
    const bytes prefix(encoded.begin(), encoded.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK_FALSE(survives<T>(prefix));
  }
  bytes longer = encoded;
  longer.push_back(std::byte{0});
  CHECK_FALSE(survives<T>(longer));
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    for (int flip : {0x01, 0x02, 0x10, 0x7f, 0x80, 0xff}) {
      bytes flipped = encoded;
      flipped[i] ^= static_cast<std::byte>(flip);
      survives<T>(flipped);
      flipped.resize(flipped.size() + 300, std::byte{1});
      survives<T>(flipped);
    }
  }
}

/// A count that claims far more than there is, at every place where this type may have one.
template <class T>
void withstands_huge_counts() {
  for (std::uint64_t n :
       {std::uint64_t{1} << 20, std::uint64_t{1} << 32, std::uint64_t{1} << 61, (std::uint64_t{1} << 61) + 1,
        std::uint64_t{1} << 63, std::numeric_limits<std::uint64_t>::max()}) {
    CHECK_FALSE(survives<T>(count_of(n)));
    survives<T>(count_of(n, 50));
    bytes nested = raw({1});
    const bytes inner = count_of(n, 50);
    nested.insert(nested.end(), inner.begin(), inner.end());
    survives<T>(nested);
  }
}

struct record {
  bool flag;
  std::string text;
  std::vector<std::string> words;
  std::map<std::string, std::vector<int>> map;
  std::optional<std::variant<int, std::string, std::monostate>> choice;
  std::unique_ptr<std::string> pointer;
  nothing empty;
};

struct reserve_bomb {
  std::vector<reserve_bomb> inner;
  std::array<std::uint64_t, 4> ballast;
};

}  // namespace

TEST_CASE("every prefix and every flipped byte") {
  withstands(7);
  withstands(true);
  withstands(std::string("text"));
  withstands(std::wstring(L"wide"));
  withstands(std::filesystem::path("/tmp/x"));
  withstands(std::vector<int>{1, 2, 3});
  withstands(std::vector<std::string>{"a", "", "c"});
  withstands(std::vector<bool>{true, false, true, true, false, false, true, false, true});
  withstands(std::vector<nothing>(3));
  withstands(std::vector<says_nothing>(3));
  withstands(std::deque<std::string>{"a", "b"});
  withstands(std::list<int>{1, 2});
  withstands(std::forward_list<std::string>{"a", "b"});
  withstands(std::set<std::string>{"a", "b"});
  withstands(std::unordered_set<std::string>{"a", "b"});
  withstands(std::unordered_multiset<int>{1, 1});
  withstands(std::map<std::string, int>{{"a", 1}, {"b", 2}});
  withstands(std::unordered_map<int, std::string>{{1, "a"}, {2, "b"}});
  withstands(std::multimap<std::string, std::string>{{"a", "b"}, {"a", "c"}});
  withstands(std::array<std::string, 3>{"a", "b", "c"});
  withstands(std::bitset<13>(0x1234));
  withstands(std::optional<std::string>("x"));
  withstands(std::variant<int, std::string, std::monostate>("x"));
  withstands(std::tuple(1, std::string("x"), true));
  withstands(std::make_unique<std::string>("x"));
  withstands(std::stack<std::string>(std::deque<std::string>{"a", "b"}));
  withstands(
      std::priority_queue<std::string>(std::less<std::string>(), std::vector<std::string>{"a", "b", "c"}));
  withstands(tree{"root", {tree{"left", {}}, tree{"right", {tree{"leaf", {}}}}}});
  withstands(split_handle(1, "text"));
  withstands(serialized(1, {"a", "b"}));
  withstands(minimal{"text"});
  withstands(versioned{1, 2});
  withstands(derived(1, "base", {{1, "a"}, {2, "b"}}));
  withstands(sized({1, 2, 3}));
  withstands(keyed{{{"a", 1}, {"b", 2}}});
  withstands(record{true, "text", {"a", "b"}, {{"k", {1, 2}}}, "x", std::make_unique<std::string>("p"), {}});
}

TEST_CASE("counts beyond the bytes present") {
  withstands_huge_counts<std::string>();
  withstands_huge_counts<std::u32string>();
  withstands_huge_counts<std::vector<char>>();
  withstands_huge_counts<std::vector<std::uint64_t>>();
  withstands_huge_counts<std::vector<std::string>>();
  withstands_huge_counts<std::vector<bool>>();
  withstands_huge_counts<std::vector<nothing>>();
  withstands_huge_counts<std::vector<says_nothing>>();
  withstands_huge_counts<std::vector<std::vector<std::vector<int>>>>();
  withstands_huge_counts<std::deque<std::tuple<>>>();
  withstands_huge_counts<std::list<std::monostate>>();
  withstands_huge_counts<std::forward_list<std::array<int, 0>>>();
  withstands_huge_counts<std::set<int>>();
  withstands_huge_counts<std::unordered_set<int>>();
  withstands_huge_counts<std::unordered_map<int, std::string>>();
  withstands_huge_counts<std::unordered_map<std::string, std::unordered_map<std::string, int>>>();
  withstands_huge_counts<std::map<std::string, int>>();
  withstands_huge_counts<std::stack<int>>();
  withstands_huge_counts<std::priority_queue<int>>();
  withstands_huge_counts<std::filesystem::path>();
  withstands_huge_counts<sized>();
  withstands_huge_counts<keyed>();
  withstands_huge_counts<tree>();
}

// Each level claimed as many elements as the bytes left could hold: 256 levels reserved 256 times as much.
TEST_CASE("nested containers cannot each reserve for all the bytes left") {
  bytes bomb;
  for (int level = 0; level < 250; ++level) {
    const bytes count = count_of(1000);
    bomb.insert(bomb.end(), count.begin(), count.end());
  }
  bomb.resize(bomb.size() + 100'000);
  CHECK_FALSE(survives<reserve_bomb>(bomb));
}

TEST_CASE("depth") {
  CHECK_THAT(error_of<tree>(bytes(100'000, std::byte{1})), contains_text("256 levels"));
  bytes deep_tree;
  for (int i = 0; i < 100'000; ++i) {
    deep_tree.push_back(std::byte{0});
    deep_tree.push_back(std::byte{1});
  }
  CHECK_THAT(error_of<tree>(deep_tree), contains_text("nested deeper than 256 levels"));
  bytes deep_chain;
  for (int i = 0; i < 100'000; ++i) {
    deep_chain.insert(deep_chain.end(), 4, std::byte{0});
    deep_chain.push_back(std::byte{1});
  }
  CHECK_THAT(error_of<chain>(deep_chain), contains_text("nested deeper than 256 levels"));
}

TEST_CASE("errors say what is wrong") {
  bytes claimed = count_of(12345);
  claimed.resize(claimed.size() + 7);
  CHECK(error_of<std::string>(claimed) == "cannot decode: string of 12345 bytes claimed, 7 present");
  CHECK(error_of<std::vector<int>>(claimed) ==
        "cannot decode: vector of 12345 elements claimed, 7 bytes present");
  CHECK(error_of<std::map<int, std::string>>(claimed) ==
        "cannot decode: map of 12345 elements claimed, 7 bytes present");
  CHECK(error_of<int>(raw({1})) == "cannot decode: the next value takes 4 bytes, 1 present");
  CHECK(error_of<int>(raw({1, 2, 3, 4, 5})) == "cannot decode: 1 bytes left over after the last value");
  CHECK(error_of<std::string>(raw({0, 1})) == "cannot decode: 1 bytes left over after the last value");
  CHECK(error_of<bool>(raw({2})) == "cannot decode: a bool of value 2");
  CHECK(error_of<std::optional<int>>(raw({2})) == "cannot decode: a flag of an optional of value 2");
  CHECK(error_of<std::variant<int, bool>>(raw({2})) == "cannot decode: a variant index of value 2");
  CHECK(error_of<std::bitset<3>>(raw({9})) == "cannot decode: a last byte of bits of value 9");
  CHECK(error_of<std::string>(bytes(11, std::byte{0xff})) == "cannot decode: a count of more than 64 bits");
}
