// libFuzzer target: the first byte chooses a type, the rest is decoded as one. What decodes must encode, and
// decode again to an equal value; everything else must throw `decode_error` and nothing else.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "../arena/codec_samples.hpp"
#include "brood/arena/codec.hpp"

using namespace brood;
using namespace samples;

namespace {

struct record {
  bool flag;
  std::int16_t number;
  std::string text;
  std::vector<std::string> words;
  std::map<std::string, std::vector<int>> map;
  std::optional<std::variant<int, std::string, std::monostate>> choice;
  std::array<bool, 3> flags;
  nothing empty;
  std::tuple<std::u32string, std::filesystem::path> names;
  bool operator==(const record&) const = default;
};

struct floats {
  std::vector<double> numbers;
  float narrow;
};

void check(bool holds) {
  if (!holds) std::abort();
}

template <class T>
bool equal(const T& a, const T& b) {
  if constexpr (std::equality_comparable<T>) {
    return a == b;
  } else {
    return false;
  }
}

template <class T>
void decode_as(std::span<const std::byte> input) {
  try {
    const T value = decode<T>(input);
    const bytes encoded = encode(value);
    check(encode_into({}, value) == encoded.size());
    const T again = decode<T>(encoded);
    // Hash tables may be encoded in another order, pointers and NaN differ from themselves.
    check(encode(again) == encoded || equal(again, value));
  } catch (const decode_error&) {
  }
}

using decoder = void (*)(std::span<const std::byte>);

constexpr decoder decoders[] = {
    decode_as<record>,
    decode_as<std::vector<record>>,
    decode_as<tree>,
    decode_as<std::unique_ptr<chain>>,
    decode_as<std::string>,
    decode_as<std::vector<bool>>,
    decode_as<std::vector<nothing>>,
    decode_as<std::bitset<77>>,
    decode_as<std::unordered_map<std::string, std::unordered_set<int>>>,
    decode_as<std::unordered_multimap<int, std::string>>,
    decode_as<std::multimap<std::string, std::list<int>>>,
    decode_as<std::set<std::vector<std::string>>>,
    decode_as<std::deque<std::forward_list<bool>>>,
    decode_as<std::stack<std::string>>,
    decode_as<std::variant<tree, std::vector<std::vector<std::vector<int>>>, std::pair<bool, std::wstring>>>,
    decode_as<floats>,
    decode_as<std::vector<split_handle>>,
    decode_as<serialized>,
    decode_as<std::vector<says_nothing>>,
    decode_as<std::vector<versioned>>,
    decode_as<std::vector<minimal>>,
    decode_as<derived>,
    decode_as<sized>,
    decode_as<keyed>,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  decoders[data[0] % std::size(decoders)]({reinterpret_cast<const std::byte*>(data) + 1, size - 1});
  return 0;
}
