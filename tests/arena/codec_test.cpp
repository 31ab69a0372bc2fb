// What can travel comes back equal, whatever it is made of; see codec_hostile_test.cpp for bytes that lie.
#include "brood/arena/codec.hpp"

#include <array>
#include <atomic>
#include <cereal/types/base_class.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <chrono>
#include <complex>
#include <limits>
#include <mutex>
#include <string>
#include <thread>

#include "catch.hpp"
#include "codec_samples.hpp"

using namespace brood;
using namespace samples;

namespace {

/// Encodes, checks that every way of encoding agrees, and decodes.
template <class T>
T round_trip(const T& value) {
  const bytes encoded = encode(value);
  CHECK(encode_into({}, value) == encoded.size());
  CHECK(encoded.size() >= detail::least_size<T>());
  bytes appended = {std::byte{7}};
  encode_to(appended, value);
  CHECK(std::equal(appended.begin() + 1, appended.end(), encoded.begin(), encoded.end()));
  bytes place(encoded.size());
  CHECK(encode_into(place, value) == encoded.size());
  CHECK(place == encoded);
  return decode<T>(encoded);
}

template <class T>
void travels(const T& value) {
  CHECK(round_trip(value) == value);
}

enum class colour : std::uint8_t { red, green };
enum unscoped { zero, one };
enum class truth : bool { no, yes };

struct point {
  int x, y;
  bool operator==(const point&) const = default;
};

class opaque_point {  // trivially copyable, private, no default constructor
 public:
  explicit opaque_point(int x) : x_(x) {}
  bool operator==(const opaque_point&) const = default;

 private:
  int x_;
};

struct with_bool {
  int a;
  bool b;
  bool operator==(const with_bool&) const = default;
};

struct with_arrays {
  std::string name;
  int numbers[3];
  std::string words[2];
  int grid[2][2];
  char text[200];
  std::string last;
  bool operator==(const with_arrays&) const = default;
};

struct with_const {
  const int fixed;
  const std::string text;
  opaque_point p;
  bool operator==(const with_const&) const = default;
};

struct with_bits {
  unsigned a : 3;
  unsigned b : 5;
  int c;
  bool operator==(const with_bits&) const = default;
};

struct with_bits_and_text {
  unsigned a : 3;
  bool b : 1;
  std::string text;
  bool operator==(const with_bits_and_text&) const = default;
};

struct everything {
  bool b;
  point p;
  std::string s;
  std::vector<point> v;
  std::map<std::string, std::vector<int>> m;
  std::optional<std::string> o;
  std::variant<std::monostate, int, std::string> u;
  std::tuple<int, std::string> t;
  std::pair<int, std::string> q;
  std::array<std::string, 2> a;
  std::chrono::milliseconds d;
  std::filesystem::path f;
  nothing n;
  tree k;
  bool operator==(const everything&) const = default;
};

struct wide {
  int f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22,
      f23, f24, f25, f26, f27, f28, f29, f30;
  std::string f31;
  bool operator==(const wide&) const = default;
};

}  // namespace

TEST_CASE("numbers and enumerations") {
  travels(true);
  travels('x');
  travels(static_cast<signed char>(-1));
  travels(std::numeric_limits<std::int64_t>::min());
  travels(std::numeric_limits<std::uint64_t>::max());
  travels(1.5f);
  travels(std::numeric_limits<double>::infinity());
  travels(2.25L);
  travels(u'x');
  travels(std::byte{200});
  travels(colour::green);
  travels(one);
  travels(truth::yes);
  __extension__ using int128 = __int128;
  CHECK((round_trip(static_cast<int128>(-5)) == -5));
}

TEST_CASE("strings") {
  travels(std::string());
  travels(std::string("a\0b", 3));
  travels(std::string(127, 'x'));
  travels(std::string(128, 'x'));
  travels(std::string(100'000, 'x'));
  travels(std::wstring(L"wide"));
  travels(std::u32string(U"\U0001F600"));
  travels(std::u8string(u8"u8"));
  travels(std::filesystem::path("/a/b c"));
}

TEST_CASE("containers") {
  travels(std::vector<int>());
  travels(std::vector<int>{1, 2, 3});
  travels(std::vector<std::byte>(300, std::byte{9}));
  travels(std::vector<std::string>{"", "b", std::string(1000, 'c')});
  travels(std::vector<std::vector<int>>{{}, {1}, {2, 3}});
  travels(std::vector<bool>{});
  travels(std::vector<bool>{true, false, true, true, false, false, true, false, true});
  travels(std::vector<opaque_point>{opaque_point(1), opaque_point(2)});
  travels(std::vector<nothing>(1000));
  travels(std::deque<std::string>{"a", "b"});
  travels(std::list<int>{1, 2});
  travels(std::forward_list<int>{3, 1, 2});
  travels(std::set<std::string>{"a", "b"});
  travels(std::multiset<int>{1, 1, 2});
  travels(std::unordered_set<std::string>{"a", "b"});
  travels(std::unordered_multiset<int>{1, 1, 2});
  travels(std::map<int, std::string>{{1, "a"}, {2, "b"}});
  travels(std::multimap<int, int>{{1, 1}, {1, 2}});
  travels(std::unordered_map<std::string, point>{{"a", {1, 2}}});
  travels(std::unordered_multimap<int, int>{{1, 1}, {1, 1}});
  travels(std::map<std::string, int, std::greater<>>{{"a", 1}, {"b", 2}});
  travels(std::array<int, 3>{1, 2, 3});
  travels(std::array<std::string, 2>{"a", "b"});
  travels(std::array<std::string, 0>{});
  travels(std::array<opaque_point, 1>{opaque_point(4)});
  travels(std::stack<int>(std::deque<int>{1, 2}));
  travels(std::queue<std::string>(std::deque<std::string>{"a", "b"}));
  auto order = round_trip(std::priority_queue<int>(std::less<int>(), std::vector<int>{1, 5, 3}));
  CHECK(order.top() == 5);
  CHECK(order.size() == 3);
}

TEST_CASE("the other types of the standard library") {
  travels(std::optional<int>());
  travels(std::optional<std::string>("x"));
  travels(std::optional<std::optional<int>>(std::optional<int>()));
  travels(std::variant<int, std::string>("x"));
  travels(std::variant<std::monostate, int>());
  travels(std::variant<std::string, std::string>(std::in_place_index<1>, "second"));
  travels(std::monostate());
  travels(std::tuple<>());
  travels(std::tuple(1, std::string("x"), 2.5));
  travels(std::pair(1, std::string("x")));
  travels(std::chrono::nanoseconds(5));
  travels(std::chrono::system_clock::now());
  travels(std::chrono::steady_clock::now());
  travels(std::complex<double>(1, 2));
  travels(std::bitset<0>());
  travels(std::bitset<9>(0x155));
  travels(std::bitset<200>(12345));
  const auto pointer = round_trip(std::make_unique<std::string>("x"));
  REQUIRE(pointer);
  CHECK(*pointer == "x");
  CHECK(round_trip(std::unique_ptr<int>()) == nullptr);
  CHECK_THROWS_AS(encode(std::vector<valueless>(1)), std::bad_variant_access);
}

TEST_CASE("aggregates") {
  travels(point{1, 2});
  travels(opaque_point(3));
  travels(nothing{});
  travels(with_bool{1, true});
  travels(with_arrays{"n", {1, 2, 3}, {"a", "b"}, {{1, 2}, {3, 4}}, "text", "last"});
  travels(with_const{1, "x", opaque_point(2)});
  travels(with_bits{5, 17, -1});
  travels(with_bits_and_text{5, true, "text"});
  travels(tree{"root", {tree{"left", {}}, tree{"right", {tree{"leaf", {}}}}}});
  wide w{};
  w.f0 = 1;
  w.f30 = 31;
  w.f31 = "last";
  travels(w);
  travels(everything{true,
                     {1, 2},
                     "text",
                     {{1, 2}, {3, 4}},
                     {{"k", {1, 2}}, {"l", {}}},
                     "o",
                     "u",
                     {1, "t"},
                     {2, "q"},
                     {"a", "b"},
                     std::chrono::milliseconds(3),
                     "/tmp",
                     {},
                     {"k", {}}});
}

TEST_CASE("flat types are their own bytes") {
  STATIC_REQUIRE(is_flat<int>);
  STATIC_REQUIRE(is_flat<const int>);
  STATIC_REQUIRE(is_flat<colour>);
  STATIC_REQUIRE(is_flat<point>);
  STATIC_REQUIRE(is_flat<opaque_point>);
  STATIC_REQUIRE(is_flat<with_bits>);
  STATIC_REQUIRE(is_flat<std::array<point, 4>>);
  STATIC_REQUIRE(is_flat<int[3]>);
  STATIC_REQUIRE(is_flat<std::chrono::steady_clock::time_point>);
  STATIC_REQUIRE(is_flat<std::complex<float>>);
  STATIC_REQUIRE_FALSE(is_flat<bool>);
  STATIC_REQUIRE_FALSE(is_flat<truth>);
  STATIC_REQUIRE_FALSE(is_flat<with_bool>);
  STATIC_REQUIRE_FALSE(is_flat<nothing>);
  STATIC_REQUIRE_FALSE(is_flat<std::optional<int>>);
  STATIC_REQUIRE_FALSE(is_flat<std::variant<int>>);
  STATIC_REQUIRE_FALSE(is_flat<std::bitset<3>>);
  STATIC_REQUIRE_FALSE(is_flat<std::string>);
  STATIC_REQUIRE_FALSE(is_flat<int*>);
  STATIC_REQUIRE_FALSE(is_flat<trivial_handle>);

  const point p{1, 2};
  const bytes encoded = encode(p);
  REQUIRE(encoded.size() == sizeof p);
  CHECK(std::memcmp(encoded.data(), &p, sizeof p) == 0);
}

TEST_CASE("little overhead") {
  CHECK(encode(std::string("abc")).size() == 4);
  CHECK(encode(std::vector<int>{1, 2}).size() == 9);
  CHECK(encode(std::optional<int>()).size() == 1);
  CHECK(encode(with_bool{1, true}).size() == 5);
  CHECK(encode(std::vector<bool>(80)).size() == 11);
}

TEST_CASE("argument lists") {
  const bytes none = encode();
  CHECK(none.empty());
  CHECK(decode_all<>(none) == std::tuple<>());
  const bytes encoded = encode(1, std::string("two"), std::vector<int>{3});
  CHECK(decode_all<int, std::string, std::vector<int>>(encoded) ==
        std::tuple(1, std::string("two"), std::vector<int>{3}));
  CHECK_THROWS_AS((decode_all<int, std::string>(encoded)), decode_error);
  CHECK_THROWS_AS((decode_all<int, std::string, std::vector<int>, int>(encoded)), decode_error);
  auto [pointer, number] = decode_all<std::unique_ptr<int>, int>(encode(std::make_unique<int>(4), 5));
  CHECK(*pointer == 4);
  CHECK(number == 5);
}

TEST_CASE("classes that encode themselves") {
  travels(split_handle(1, "x"));
  travels(serialized(1, {"a", "b"}));
  travels(raw_handle(12345));
  travels(trivial_handle{7});
  travels(says_nothing());
  travels(std::vector<says_nothing>(100));
  travels(std::map<std::string, split_handle>{{"k", split_handle(1, "x")}});
  travels(outside{3});
  travels(minimal{"text"});
  travels(versioned{1, 2});
  travels(std::vector<versioned>{{1, 2}, {3, 4}});
  travels(derived(1, "base", {{1, "aggregate"}}));
  travels(sized({1, 2, 3}));
  travels(keyed{{{"a", 1}}});

  const std::vector<creating_handle> handles(3);
  travels(handles);
  CHECK(creating_handle::created == 3);

  const auto moved = round_trip(move_only(5));
  CHECK(moved.number() == 5);
  const auto list = round_trip([] {
    std::vector<move_only> v;
    v.emplace_back(1);
    v.emplace_back(2);
    return v;
  }());
  CHECK(list[1].number() == 2);
}

TEST_CASE("too deep to travel") {
  tree deep{"leaf", {}};
  for (int i = 0; i < 200; ++i) deep = tree{"", {deep}};
  travels(deep);
  for (int i = 0; i < 100; ++i) deep = tree{"", {deep}};
  bytes out = {std::byte{1}};
  CHECK_THROWS_WITH(encode_to(out, deep), contains_text("nested deeper than 256 levels"));
  CHECK(out == bytes{std::byte{1}});
}

TEST_CASE("encoding into memory of the caller's") {
  std::array<std::byte, 8> place{};
  CHECK(encode_into(place, std::string("1234567")) == 8);
  CHECK(decode<std::string>(place) == "1234567");
  CHECK(encode_into(place, std::string("12345678")) == 9);
  CHECK(encode_into(place, std::string(20, 'x'), 1, 2) == 29);
  CHECK(encode_into({}, point{1, 2}) == sizeof(point));
}

TEST_CASE("many writes of every size") {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < 600; ++i) words.push_back(std::string(i, static_cast<char>('a' + i % 26)));
  travels(words);
  bytes log;
  for (int i = 0; i < 1000; ++i) encode_to(log, std::string(3, 'x'), i);
  CHECK(log.size() == 8000);
}

TEST_CASE("which types are codable") {
  STATIC_REQUIRE(codable<everything>);
  STATIC_REQUIRE(codable<tree>);
  STATIC_REQUIRE(codable<move_only>);
  STATIC_REQUIRE_FALSE(codable<int*>);
  STATIC_REQUIRE_FALSE(codable<const char*>);
  STATIC_REQUIRE_FALSE(codable<int&>);
  STATIC_REQUIRE_FALSE(codable<void>);
  STATIC_REQUIRE_FALSE(codable<std::string_view>);
  STATIC_REQUIRE_FALSE(codable<std::span<int>>);
  STATIC_REQUIRE_FALSE(codable<std::shared_ptr<int>>);
  STATIC_REQUIRE_FALSE(codable<std::reference_wrapper<int>>);
  STATIC_REQUIRE_FALSE(codable<std::vector<int>::iterator>);
  STATIC_REQUIRE_FALSE(codable<std::map<int, int>::iterator>);
  STATIC_REQUIRE_FALSE(codable<std::exception_ptr>);
  STATIC_REQUIRE_FALSE(codable<std::function<void()>>);
  STATIC_REQUIRE_FALSE(codable<void (*)()>);
  STATIC_REQUIRE_FALSE(codable<int point::*>);
  STATIC_REQUIRE_FALSE(codable<std::mutex>);
  STATIC_REQUIRE_FALSE(codable<std::thread>);
  STATIC_REQUIRE_FALSE(codable<std::atomic<int>>);
  STATIC_REQUIRE_FALSE(codable<std::error_code>);
  STATIC_REQUIRE_FALSE(codable<std::vector<std::map<int, std::optional<int*>>>>);
  STATIC_REQUIRE_FALSE(codable<std::unique_ptr<int[]>>);
  struct holder {
    std::string name;
    std::vector<std::string_view> views;
  };
  STATIC_REQUIRE_FALSE(codable<holder>);
  int captured = 1;
  auto closure = [&captured] { return captured; };
  STATIC_REQUIRE_FALSE(codable<decltype(closure)>);
}
